/** The bundle: the same bytes each time, starts from anywhere, ends with the engine that started it. */
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../../test/lib/until";

let folder: string;
let built: string;

beforeAll(async () => {
  const { buildPlugin } = await import("../../../scripts/plugins.mjs");
  ({ folder: built } = await buildPlugin("command"));
  folder = mkdtempSync(join(tmpdir(), "berth bundle's "));
  cpSync(built, join(folder, "un packed"), { recursive: true });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const hash = (): string =>
  createHash("sha256")
    .update(readFileSync(join(built, "plugin.js")))
    .digest("hex");

describe("bundle", () => {
  it("is the same bytes when built again", async () => {
    const before = hash();
    const { buildPlugin } = await import("../../../scripts/plugins.mjs");
    await buildPlugin("command");
    expect(hash()).toBe(before);
  });

  it("needs nothing beside itself, starts through links and odd paths, and ends with its parent", async () => {
    const link = join(folder, "link");
    symlinkSync("un packed/pulumi-resource-command", link);
    const env = { PATH: "/usr/bin:/bin", BERTH_NODE: process.execPath };
    // The shell stands for the engine; it tells the plugin's process id and then only waits.
    const parent = spawn("sh", ["-c", '"$1" 127.0.0.1:1 & echo "pid $!"; wait', "sh", link], {
      env,
      cwd: "/",
    });
    let said = "";
    parent.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await until("it listens", 30_000, () => /^\d+$/m.test(said) && /pid \d+/.test(said));
    const pid = /pid (\d+)/.exec(said)?.[1];
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    parent.kill("SIGKILL");
    await until(
      "it has ended",
      30_000,
      () => !existsSync(`/proc/${pid}`) || /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8")),
    );
  });

  it("says what is missing where there is no Node.js", () => {
    const starter = join(folder, "un packed", "pulumi-resource-command");
    const env = { PATH: join(folder, "tools") };
    mkdirSync(env.PATH);
    for (const tool of ["dirname", "readlink"]) symlinkSync(`/usr/bin/${tool}`, join(env.PATH, tool));
    let said = "";
    try {
      execFileSync("/bin/sh", [starter], { env, stdio: "pipe" });
    } catch (error) {
      said = (error as { stderr: Buffer }).stderr.toString();
    }
    expect(said).toContain("no Node.js on PATH; install it or set BERTH_NODE");
  });
});
