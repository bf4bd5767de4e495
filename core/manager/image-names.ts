/** Names of images as Docker reads them, and which of them somebody may start a container from. Pure. */
import { type Refusal, type Result, refuse } from "../gpu";
import { isHost } from "../net";

/** An image of a registry, in one spelling for each: `node`, `library/node` and `docker.io/library/node` are the same. */
export interface ImageName {
  /** With its port; Docker Hub is `docker.io`. */
  registry: string;
  /** `library/node`, `team/tools/lint`. */
  path: string;
  /** `latest` if neither a tag nor a digest was given. */
  tag?: string;
  /** `sha256:…`. It decides, and not the tag beside it. */
  digest?: string;
}

/** An image of a tenant's own. */
export interface OwnImage {
  /** `sha256:…`, as Docker has it. */
  id: string;
  /** As people see it: `owner-repo:main`. Two may be shown alike. */
  shown: string;
  /** It is outdated: what a container begins with where this one is named, so that its set-up makes it anew. */
  instead?: string;
}

const MOST_CHARACTERS = 512;
const MOST_PATH = 255;
const HUB = "docker.io";
const HUB_NAMES = [HUB, "index.docker.io"];

const PART = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** `name[:tag][@digest]`; what stands before the last `/` may have a port. */
const SHAPE = /^((?:[^@]*\/)?[^@:/]+)(?::([^@:/]*))?(?:@(.*))?$/;

/** Docker's rule for where a name's first part is a registry. */
const isRegistry = (part: string) => /[.:]/.test(part) || part === "localhost";

function isRegistryName(text: string): boolean {
  const [, plain, address6 = "", port = "1"] =
    /^(?:([^:[\]]*)|\[([^[\]]*:[^[\]]*)\])(?::(\d{1,5}))?$/.exec(text) ?? [];
  return isHost(plain ?? address6) && Number(port) >= 1 && Number(port) <= 65_535;
}

/** Registry and path as Docker completes them. */
function place(name: string): Pick<ImageName, "registry" | "path"> {
  const [first = "", ...rest] = name.split("/");
  const given = rest.length > 0 && isRegistry(first);
  const registry = given ? first.toLowerCase() : HUB;
  const path = given ? rest.join("/") : name;
  if (!HUB_NAMES.includes(registry)) return { registry, path };
  return { registry: HUB, path: path.includes("/") ? path : `library/${path}` };
}

/** Docker takes `sha256:cafe` for the beginning of some image's id where it has no image of that name. */
const LIKE_ID = "library/sha256";

const isPath = (path: string) =>
  path.length <= MOST_PATH && path !== LIKE_ID && path.split("/").every((part) => PART.test(part));

function read(text: string): ImageName | undefined {
  if (text.length > MOST_CHARACTERS) return undefined;
  const [, name = "", givenTag, digest] = SHAPE.exec(text) ?? [];
  const { registry, path } = place(name);
  const tag = givenTag ?? (digest === undefined ? "latest" : undefined);
  const right =
    isRegistryName(registry) &&
    isPath(path) &&
    (tag === undefined || TAG.test(tag)) &&
    (digest === undefined || DIGEST.test(digest));
  if (!right) return undefined;
  return { registry, path, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
}

/** The image that `text` names, completed as Docker completes it. An id is no name. Refusal: bad-request. */
export function parseImageName(text: string): Result<ImageName> {
  const name = read(text);
  if (name !== undefined) return { ok: true, value: name };
  return refuse({
    code: "bad-request",
    message: "the image is no name that Docker takes",
    allowed: `[REGISTRY[:PORT]/]NAME[:TAG][@sha256:…], at most ${MOST_CHARACTERS} characters, NAME in small letters`,
    fix: "write it as for docker pull, such as node:24-slim",
  });
}

/** Whether `text` names an image by itself: by a name that {@link parseImageName} takes, or by a whole id. */
export const isImage = (text: string) => DIGEST.test(text) || read(text) !== undefined;

/**
 * An image's name in the shortest way that Docker reads as this one: `node:24-slim`. It has a tag or a digest in any case, for
 * Docker takes a bare `cafe` for the beginning of some image's id as well.
 */
export function imageText({ registry, path, tag, digest }: ImageName): string {
  const familiar = registry === HUB ? path.replace(/^library\/(?=[^/]*$)/, "") : `${registry}/${path}`;
  return `${familiar}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

type Matcher = (name: ImageName) => boolean;

const samePlace = (a: ImageName, b: ImageName) => a.registry === b.registry && a.path === b.path;

/** A digest decides what runs, so a tag beside it proves nothing. */
const sameVersion = (name: ImageName, wanted: ImageName) =>
  name.digest === wanted.digest && (wanted.digest !== undefined || name.tag === wanted.tag);

const tagBegins = ({ tag, digest }: ImageName, start: string) =>
  start === "" || (digest === undefined && tag?.startsWith(start) === true);

/** Of a pattern of names; undefined for an id, and for what is no pattern. */
function matcherOf(pattern: string): Matcher | undefined {
  const [, place, start] = /^(.+):([^:/@]*)\*$/.exec(pattern) ?? [];
  const wanted = read(start === undefined ? pattern : `${place}:${start}x`);
  if (wanted === undefined) return undefined;
  return (name) =>
    samePlace(name, wanted) && (start === undefined ? sameVersion(name, wanted) : tagBegins(name, start));
}

/**
 * Whether a list of allowed images may have `text`: a name (`node:24-slim`; without a tag, `latest`), all or some tags of a name
 * (`node:*`, `node:24-*`), a name by digest, or an id.
 */
export const isImagePattern = (text: string) => DIGEST.test(text) || matcherOf(text) !== undefined;

const allowedWords = (patterns: readonly string[]) => [...patterns, "main images of your own"].join(", ");

const notAllowed = (name: string, patterns: readonly string[]): Refusal => ({
  code: "not-allowed",
  message: `image ${name} is none of those that may be used here`,
  allowed: allowedWords(patterns),
  fix: "take one of these, or have the operator of the node allow it",
});

const shownAlike = (own: readonly OwnImage[]): Refusal => ({
  code: "conflict",
  message: `${own.length} of your images are shown by this name`,
  allowed: own.map(({ id }) => id).join(", "),
  fix: "name the one that is meant by its id",
});

function byPattern(reference: string, patterns: readonly string[]): Result<string> {
  if (DIGEST.test(reference))
    return patterns.includes(reference)
      ? { ok: true, value: reference }
      : refuse(notAllowed(reference, patterns));
  const name = parseImageName(reference);
  if (!name.ok) return name;
  const text = imageText(name.value);
  return patterns.some((pattern) => matcherOf(pattern)?.(name.value))
    ? { ok: true, value: text }
    : refuse(notAllowed(text, patterns));
}

/**
 * What to give to Docker for the image that a tenant named: the id of one of their own images, named by what is shown or by its
 * id, or what is begun with instead where that is outdated; or else a name that `patterns` allow ({@link isImagePattern}; any
 * other text among them allows nothing).
 *
 * Refusals: bad-request: it is no name; not-allowed; conflict: two of their own are shown so.
 */
export function imageAllowed(
  reference: string,
  { patterns, ownImages }: { patterns: readonly string[]; ownImages: readonly OwnImage[] },
): Result<string> {
  const own = ownImages.filter(({ id, shown }) => id === reference || shown === reference);
  const ids = new Set(own.map(({ id }) => id));
  if (ids.size > 1) return refuse(shownAlike(own));
  const [one] = own;
  return one === undefined ? byPattern(reference, patterns) : { ok: true, value: one.instead ?? one.id };
}
