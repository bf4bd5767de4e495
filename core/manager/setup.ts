/** What a set-up goes through, and where in a container it may put a repository. Pure. */

/** In this order; `building-image` only where a main image is made. The last two are ends. */
export const SETUP_PHASES = [
  "queued",
  "cloning",
  "checking-out",
  "installing",
  "building-image",
  "starting",
  "ready",
  "failed",
] as const;
export type SetupPhase = (typeof SETUP_PHASES)[number];

/** How a container is, by the phase of its set-up. */
export type SetupStatus = "setting-up" | "ready" | "failed";

export const isOver = (phase: SetupPhase): phase is "ready" | "failed" =>
  phase === "ready" || phase === "failed";

export const setupStatus = (phase: SetupPhase): SetupStatus => (isOver(phase) ? phase : "setting-up");

/** For people, in the container's log and in callbacks. */
export const PHASE_WORDS: Readonly<Record<SetupPhase, string>> = {
  queued: "waiting for its turn",
  cloning: "fetching the repository",
  "checking-out": "putting the files into the container",
  installing: "installing what the project depends on",
  "building-image": "making an image of it for the next containers",
  starting: "starting the project",
  ready: "the project is set up",
  failed: "the set-up failed",
};

const MOST_PATH = 255;
const PATH = /^(\/[A-Za-z0-9_][A-Za-z0-9._-]*)+$/;
/** Of the kernel: nothing can be put there. */
const OF_KERNEL = /^\/(dev|proc|sys)(\/|$)/;
/** What an image itself lives by. A folder below them is fine: `/usr/src/app`, `/home/node`. */
const OF_IMAGE =
  /^\/(bin|boot|etc|home|lib|lib32|lib64|libx32|media|mnt|opt|root|run|sbin|srv|tmp|usr|var|usr\/(bin|lib|lib64|sbin|share|local))$/;

/** What is wrong with the folder that a repository is to be put into, whose old files go; undefined: nothing. */
export function workdirProblem(path: string): string | undefined {
  if (path.length > MOST_PATH || !PATH.test(path))
    return `is no plain absolute path: parts of letters, digits, '.', '_' and '-', none of them beginning with '.' or '-', at most ${MOST_PATH} characters`;
  if (OF_KERNEL.test(path) || OF_IMAGE.test(path))
    return "is a folder of the system, whose files would go; use one of its own, such as /app";
  return undefined;
}
