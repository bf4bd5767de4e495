/** Image names: `[registry/]repository[:tag][@digest]`. Pure. */

const HUB = "docker.io";
const HUB_NAMES = ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

export interface ImageRef {
  /** `10.88.0.2:5000`; Docker Hub is `docker.io`. */
  readonly registry: string;
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
  const slash = repository.indexOf("/");
  const first = slash < 0 ? "" : repository.slice(0, slash);
  const named = first.includes(".") || first.includes(":") || first === "localhost";
  return {
    registry: named ? registryKey(first) : HUB,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** A registry address as sign-ins are looked up by: without scheme and path. */
export function registryKey(address: string): string {
  const host = address.replace(/^https?:\/\//, "").split("/")[0] ?? "";
  return HUB_NAMES.includes(host) ? HUB : host;
}

/** Which of an image's digests belongs to the name that it was asked by; the first if none does. */
export function repoDigest(name: string, digests: readonly string[]): string {
  const { repository } = parseImage(name);
  return digests.find((digest) => digest.startsWith(`${repository}@`)) ?? digests[0] ?? "";
}
