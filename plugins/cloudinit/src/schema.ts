/**
 * The inputs of `Config` and of `getConfig`, which are the same, in version 1.6.1 of the official plugin. Pure.
 *
 * Defaults are not filled in by the schema: the official plugin leaves them out of the inputs in state.
 */
import {
  type CheckFailure,
  formatPath,
  hasUnknown,
  isUnknown,
  type Path,
  type Props,
  type Schema,
  type Value,
} from "@berth/plugin-base";

const replace = true;

export const configInputs: Schema = {
  base64Encode: { type: "boolean", replace },
  boundary: { type: "string", public: true, replace },
  gzip: { type: "boolean", replace },
  parts: {
    type: "array",
    required: true,
    replace,
    items: {
      type: "object",
      properties: {
        content: { type: "string", required: true },
        contentType: { type: "string", public: true },
        filename: { type: "string", public: true },
        mergeType: { type: "string", public: true },
      },
    },
  },
};

/** The official plugin's; `contentType` is that of a part. */
export const DEFAULTS = {
  base64Encode: true,
  boundary: "MIMEBOUNDARY",
  gzip: true,
  contentType: "text/plain",
} as const;

/** RFC 2046, 5.1.1, as Go's `mime/multipart` reads it. */
const BOUNDARY = /^[A-Za-z0-9'()+_,\-./:=? ]{0,69}[A-Za-z0-9'()+_,\-./:=?]$/;

/** The inputs with defaults where the program says nothing. */
export function withDefaults(inputs: Props): Props {
  const { parts, ...rest } = inputs;
  return {
    ...rest,
    base64Encode: inputs.base64Encode ?? DEFAULTS.base64Encode,
    boundary: inputs.boundary ?? DEFAULTS.boundary,
    gzip: inputs.gzip ?? DEFAULTS.gzip,
    ...(parts === undefined ? {} : { parts: Array.isArray(parts) ? parts.map(part) : parts }),
  };
}

function part(value: Value): Value {
  if (!isProps(value)) return value;
  const given = Object.entries(value).filter(([, item]) => item !== null);
  return { contentType: DEFAULTS.contentType, ...Object.fromEntries(given) };
}

/** What the schema alone does not see. Values that are not known yet pass. */
export function problemsOf(inputs: Props): CheckFailure[] {
  const problems: CheckFailure[] = [];
  const add = (path: Path, reason: string): void => {
    problems.push({ property: formatPath(path), reason });
  };
  const { base64Encode, boundary, gzip, parts } = withDefaults(inputs);
  if (gzip === true && base64Encode === false) {
    add(["base64Encode"], "is false, but gzip makes bytes that are no text; set gzip to false too");
  }
  if (typeof boundary === "string" && !isUnknown(boundary) && !BOUNDARY.test(boundary)) {
    add(
      ["boundary"],
      "is not of the form that MIME asks for; give 1 to 70 of A-Z a-z 0-9 ' ( ) + _ , - . / : = ? and space, " +
        "which may not come last",
    );
  }
  if (!Array.isArray(parts)) return problems;
  if (parts.length === 0) add(["parts"], "is empty; give at least one part");
  for (const [i, value] of parts.entries()) {
    if (isProps(value)) problems.push(...partProblems(value, ["parts", i], boundary));
    else if (!isUnknown(value)) add(["parts", i], "is null; give a part, or leave it out");
  }
  return problems;
}

function partProblems(given: Props, at: Path, boundary: Value | undefined): CheckFailure[] {
  const problems: CheckFailure[] = [];
  const add = (key: string, reason: string): void => {
    problems.push({ property: formatPath([...at, key]), reason });
  };
  if (given.contentType === "") add("contentType", "is empty; give a MIME type, or leave it out");
  for (const key of ["contentType", "filename", "mergeType"]) {
    const value = given[key];
    if (typeof value === "string" && /[\r\n]/.test(value)) {
      add(key, "has a line break, which would end the part's header; give one line");
    }
  }
  const content = given.content;
  if (typeof content !== "string" || typeof boundary !== "string" || hasUnknown([content, boundary]))
    return problems;
  const lines = content.split(/\r\n|\r|\n/).map((line) => line.replace(/[ \t]+$/, ""));
  if (lines.some((line) => line === `--${boundary}` || line === `--${boundary}--`)) {
    add("content", "has the boundary as a line, where readers would cut it; give another boundary");
  }
  return problems;
}

function isProps(value: Value | undefined): value is Props {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
