/** docs/gpus.md: its commands are commands, its configuration is configuration, its table of exit codes is that of `--help`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { gpu, nodeGpus, userGpu } from "../../../../config/gpu/schema";
import { parseLimits } from "../../../../core/limits";
import { berth, FakeBerthd, refusal } from "./helpers";

const guide = readFileSync(join(__dirname, "../../../../docs/gpus.md"), "utf8");
const blocks = [...guide.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, text]) => ({
  language,
  text: text ?? "",
}));

describe("its commands", () => {
  const lines = [
    ...blocks.flatMap(({ language, text }) => (language === "" ? text.split("\n") : [])),
    ...[...guide.matchAll(/`([^`\n]+)`/g)].map(([, text]) => text ?? ""),
  ].filter((line) => /^berth [a-z]/.test(line));
  const commands = [...new Set(lines.map((line) => line.replace(/ +#.*/, "").trim()))].filter(
    (line) => !line.includes("|"),
  );

  it("are found", () => {
    expect(commands.length).toBeGreaterThan(12);
    expect(commands).toContain("berth gpu request --profile 1g.10gb --wait 30m");
  });

  it.each(commands)("%s is understood", async (command) => {
    // Whatever is asked is refused: only the words count here.
    const berthd = await new FakeBerthd({
      "*": () => refusal(404, { code: "not-found", message: "no" }),
    }).start();
    try {
      const { code } = await berth(command.split(" ").slice(1), { env: { BERTH_SOCKET: berthd.socket } });
      expect(code).toBe(1);
      expect(berthd.seen.length).toBeGreaterThan(0);
    } finally {
      await berthd.end();
    }
  });
});

it("has configuration that the schemas take", () => {
  const config = Object.assign(
    {},
    ...blocks
      .filter(({ language }) => language === "yaml")
      .map(({ text }) => {
        const value = parse(text);
        return value.config ?? value;
      }),
  );
  expect(parseLimits(config["berth:limits"])).toMatchObject({ ok: true });
  expect(gpu.parse(config["berth:gpu"])).toEqual({
    strategy: "least-allocated",
    allocation: "exclusive",
    memoryLimit: 0,
  });
  expect(userGpu.parse(config["berth:users"][0].gpu)).toEqual({ kind: "mig", profile: "1g.10gb", count: 1 });
  expect(nodeGpus.parse(config["berth:nodes"][0].gpus)[0]).toMatchObject({ count: 2, mig: { "1g.10gb": 7 } });
});

it("tells the exit codes that --help tells", async () => {
  const { out } = await berth(["--help"], {});
  const codes = [...out.matchAll(/^ {2}(\d+) +(\S.*)$/gm)].map(
    ([, code, meaning]) => `| ${code} | ${meaning} |`,
  );
  expect(codes).toHaveLength(6);
  for (const line of codes) expect(guide).toContain(line);
});
