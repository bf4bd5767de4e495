/** A name as systemd's slices take it: there `-` means "inside of". */
export function sliceWord(name: string): string {
  return name.replaceAll("-", "_");
}
