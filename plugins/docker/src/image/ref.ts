/** Image names: `[registry/]repository[:tag][@digest]`. Pure. */

export interface ImageRef {
  /** As written, without tag and digest. */
  readonly repository: string;
  readonly tag?: string;
  /** `sha256:…`. */
  readonly digest?: string;
}

export function parseImage(name: string): ImageRef {
  const at = name.indexOf("@");
  const digest = at < 0 ? undefined : name.slice(at + 1);
  const rest = at < 0 ? name : name.slice(0, at);
  // A colon after the last slash begins a tag; one before it a port.
  const colon = rest.indexOf(":", rest.lastIndexOf("/") + 1);
  const repository = colon < 0 ? rest : rest.slice(0, colon);
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  return {
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** Which of an image's digests belongs to the name that it was asked by; the first if none does. */
export function repoDigest(name: string, digests: readonly string[]): string {
  const { repository } = parseImage(name);
  return digests.find((digest) => digest.startsWith(`${repository}@`)) ?? digests[0] ?? "";
}
