/** When an image of a repository's main branch is made, made anew and taken away. Pure. */

/** What such an image was made from: another one of either makes it old. */
export interface ImageSource {
  /** The image that the container was made from, by its id. */
  base: string;
  /** Of the content of the file that says what is installed. */
  lock: string;
}

export interface ImageQuestion {
  /** What the request says. Left out: an image where there is none, or an old one. */
  build?: boolean;
  /** The branch is the one that the repository's host names as the main one. */
  isDefault: boolean;
  /** The container was itself made from the repository's main image. */
  fromMain: boolean;
  kept?: ImageSource;
  now: ImageSource;
}

/**
 * `build`: make one of this container. `outdate`: the one that is kept is old, and this container stands on it: the next one is to
 * begin from the base again, for images on images would have ever more layers. `keep`: nothing is to be done.
 */
export function imageDecision({
  build,
  isDefault,
  fromMain,
  kept,
  now,
}: ImageQuestion): "build" | "outdate" | "keep" {
  if (!isDefault || build === false) return "keep";
  if (fromMain) return kept !== undefined && kept.lock !== now.lock ? "outdate" : "keep";
  return kept?.lock === now.lock && kept.base === now.base ? "keep" : "build";
}

/** A main image, as far as it matters for what is taken away. */
export interface KeptImage {
  key: string;
  owner: string;
  /** On the disk, beyond what it was made from. */
  bytes: number;
  /** Milliseconds since the epoch, as the others. */
  usedAt: number;
}

export interface ImageBounds {
  now: number;
  unusedMs: number;
  /** Of one that was asked for a moment ago: a container may be about to be made from it. */
  spareMs: number;
  /** Of all together. */
  maxBytes: number;
  /** Of one owner's together. */
  maxBytesOfOwner: number;
  /** How many one owner has. */
  maxOfOwner: number;
}

/**
 * The keys of those that go: what nobody used for so long, then of each owner what is too much or too many, then what is longest
 * unused until the rest has room. What was asked for a moment ago stays for all of that but its owner's own bounds: an owner who asks
 * for each again and again would have any number.
 */
export function imagesToRemove(images: readonly KeptImage[], bounds: ImageBounds): string[] {
  const { now, unusedMs, spareMs, maxBytes, maxBytesOfOwner, maxOfOwner } = bounds;
  const newestFirst = [...images].sort((a, b) => b.usedAt - a.usedAt);
  const owners = new Map<string, { bytes: number; count: number }>();
  let bytes = 0;
  return newestFirst.flatMap((image) => {
    const before = owners.get(image.owner) ?? { bytes: 0, count: 0 };
    const own = { bytes: before.bytes + image.bytes, count: before.count + 1 };
    const unused = now - image.usedAt;
    const may = own.bytes <= maxBytesOfOwner && own.count <= maxOfOwner;
    const stays = may && (unused < spareMs || (unused < unusedMs && bytes + image.bytes <= maxBytes));
    if (!stays) return [image.key];
    owners.set(image.owner, own);
    bytes += image.bytes;
    return [];
  });
}
