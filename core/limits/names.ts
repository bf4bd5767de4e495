/** As group and user names are on a node: they name slices and folders. */
export const NAME = /^[a-z][a-z0-9_-]{0,31}$/;

/** A name as systemd's slices take it: there `-` means "inside of". */
export function sliceWord(name: string): string {
  return name.replaceAll("-", "_");
}
