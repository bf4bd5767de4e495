/**
 * @file Attempts of a table: many of them as one script, for a place that is reached by one connection, and what came of
 * each. Pure.
 */
import { quote } from "../../components/host/shell";

export interface Attempt {
  /** For `bash -c`, with nothing on standard input. */
  command: string;
  /** True: the next ones begin meanwhile. For what waits for an answer that does not come. @default false */
  waits?: boolean;
  /** After so many seconds it is ended, with code 124. @default 20 */
  seconds?: number;
}

/**
 * @param variables that each attempt finds in its environment
 * @returns a script for `bash -s`, whose standard output is for {@link readAttempts}
 */
export function attemptsScript(
  attempts: readonly Attempt[],
  variables: Readonly<Record<string, string>> = {},
): string {
  const calls = attempts.map(({ command, waits = false, seconds = 20 }, i) => {
    const text = Buffer.from(command).toString("base64");
    return `attempt ${i} ${seconds} ${text}${waits ? " &" : ""}`;
  });
  return `set +eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
attempt() {
  timeout -k 2 "$2" bash -c "$(base64 -d <<<"$3")" >"$work/$1" 2>&1 </dev/null
  printf %s "$?" >"$work/$1.code"
}
${Object.entries(variables)
  .map(([name, value]) => `export ${name}=${quote(value)}`)
  .join("\n")}
${calls.join("\n")}
wait
for ((i = 0; i < ${attempts.length}; i++)); do
  printf 'ATTEMPT %s %s %s\\n' "$i" "$(cat "$work/$i.code")" "$(tail -c 20000 "$work/$i" | base64 -w 0)"
done
echo END
`;
}

/**
 * @param stdout of the script
 * @returns for each attempt both of its streams without blanks at their ends, and `exit CODE` as the last line where it
 *   did not end with 0
 * @throws Error where the script did not get to its end
 */
export function readAttempts(stdout: string, count: number): string[] {
  const lines = stdout.split("\n");
  const found = lines.flatMap((line) => {
    const [, code = "", text = ""] = /^ATTEMPT \d+ (\d+) (\S*)$/.exec(line) ?? [];
    if (code === "") return [];
    const said = Buffer.from(text, "base64").toString().trim();
    return [[said, code === "0" ? "" : `exit ${code}`].filter(Boolean).join("\n")];
  });
  if (!lines.includes("END") || found.length !== count)
    throw new Error(`the attempts did not come to their end: ${found.length} of ${count} did`);
  return found;
}
