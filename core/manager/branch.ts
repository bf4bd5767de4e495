/** What a branch may be called: git's rule, and no name that git would take for something else. Pure. */
import { type Result, refuse } from "../gpu";
import { type Faults, faultsOf } from "./faults";

/** In bytes. GitHub takes no longer one. */
const MOST_BYTES = 255;

/** `git check-ref-format --branch`, and the control characters above ASCII, which terminals obey as well. */
const FAULTS: Faults = [
  [/^$/, "is empty"],
  [/^-/, "begins with '-', as an option does"],
  [/[\p{Cc}\p{Cs} ]/u, "has a space or a control character in it"],
  [/[~^:?*[\\]/, "has one of ~ ^ : ? * [ \\ in it"],
  [/\.\.|\.$/, "has '..' in it, or '.' at its end"],
  [/@\{/, "has '@{' in it"],
  [/^\/|\/\/|\/$/, "has '/' at its beginning or its end, or twice in a row"],
  [/(^|\/)\./, "has a part that begins with '.'"],
  [/\.lock(\/|$)/, "has a part that ends in '.lock'"],
  [/^(@|HEAD)$/, "is a name that git keeps for itself"],
];

const tooLong = (text: string) =>
  Buffer.byteLength(text) > MOST_BYTES ? [`is longer than ${MOST_BYTES} bytes`] : [];

/** The branch `text`, which is safe as an argument of git's. Refusal: bad-request. */
export function parseBranch(text: string): Result<string> {
  const faults = [...tooLong(text), ...faultsOf(text, FAULTS)];
  if (faults.length === 0) return { ok: true, value: text };
  return refuse({
    code: "bad-request",
    message: `the branch's name ${faults.join("; it ")}`,
    allowed: `what 'git check-ref-format --branch' takes, at most ${MOST_BYTES} bytes`,
    fix: "give the name alone, such as main or feature/login",
  });
}
