/**
 * The arguments of `getConfig` in version 1.6.1 of the official plugin. Pure.
 *
 * Defaults are not filled in by the schema, but by {@link withDefaults}: what was left out matters to
 * {@link problemsOf}.
 */
import {
  type CheckFailure,
  formatPath,
  isProps,
  type Path,
  type Props,
  type Schema,
  type Value,
} from "@berth/plugin-base";

export const configInputs: Schema = {
  base64Encode: { type: "boolean" },
  boundary: { type: "string", public: true },
  gzip: { type: "boolean" },
  parts: {
    type: "array",
    required: true,
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

/** RFC 2046, 5.1.1, as Go's `mime/multipart` reads it. */
const BOUNDARY = /^[A-Za-z0-9'()+_,\-./:=? ]{0,69}[A-Za-z0-9'()+_,\-./:=?]$/;

/** The arguments, with the official plugin's defaults where the program says nothing. */
export function withDefaults(inputs: Props): Props {
  const { parts, ...rest } = inputs;
  return {
    base64Encode: true,
    boundary: "MIMEBOUNDARY",
    ...rest,
    ...(Array.isArray(parts) ? { parts: parts.map(part) } : {}),
  };
}

function part(value: Value): Value {
  if (!isProps(value)) return value;
  const given = Object.entries(value).filter(([, item]) => item !== null);
  return { contentType: "text/plain", ...Object.fromEntries(given) };
}

/** What the schema alone does not see. @param inputs all of them known */
export function problemsOf(inputs: Props): CheckFailure[] {
  const problems: CheckFailure[] = [];
  const add = (path: Path, reason: string): void => {
    problems.push({ property: formatPath(path), reason });
  };
  const { boundary, gzip, parts } = withDefaults(inputs);
  if (gzip !== false) {
    // No other compressor writes the official plugin's bytes, and other bytes of user data replace machines.
    add(
      ["gzip"],
      `${gzip === true ? "is true" : "is left out, and true by default"}, but Berth's cloudinit plugin does not ` +
        "compress; set gzip: false, or install the official plugin",
    );
  }
  if (typeof boundary === "string" && !BOUNDARY.test(boundary)) {
    add(
      ["boundary"],
      "is not of the form that MIME asks for; give 1 to 70 of A-Z a-z 0-9 ' ( ) + _ , - . / : = ? and space, " +
        "which may not come last",
    );
  }
  if (!Array.isArray(parts)) return problems;
  if (parts.length === 0) add(["parts"], "is empty; give at least one part");
  for (const [i, value] of parts.entries()) {
    if (isProps(value)) problems.push(...partProblems(value, ["parts", i], String(boundary)));
    else add(["parts", i], "is null; give a part, or leave it out");
  }
  return problems;
}

function partProblems(given: Props, at: Path, boundary: string): CheckFailure[] {
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
  const lines = String(given.content)
    .split(/\r\n|\r|\n/)
    .map((line) => line.replace(/[ \t]+$/, ""));
  if (lines.some((line) => line === `--${boundary}` || line === `--${boundary}--`)) {
    add("content", "has the boundary as a line, where readers would cut it; give another boundary");
  }
  return problems;
}
