/**
 * The policy pack as the process that Pulumi's engine starts.
 * Proves: it serves, and ends by itself when its engine was killed. That it judges stacks is proved in test/engine.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { afterEach, expect, it } from "vitest";

let engine: ChildProcess | undefined;
let pack = 0;
/** A zombie has ended; only init has not asked for it yet. */
const runs = () =>
  existsSync(`/proc/${pack}/stat`) && !/\) Z /.test(readFileSync(`/proc/${pack}/stat`, "utf8"));

afterEach(() => {
  engine?.kill("SIGKILL");
  if (pack > 0 && runs()) process.kill(pack, "SIGKILL");
});

it("ends when the engine that started it was killed", async () => {
  // A shell in the engine's place: it says which process the pack is, and waits for it.
  const script = 'bin/pulumi-analyzer-policy-berth 127.0.0.1:1 . & echo "pack $!"; wait';
  const env = { ...process.env, BERTH_NODE: process.execPath };
  engine = spawn("sh", ["-c", script], { cwd: "policy", env, stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface({ input: engine.stdout as NonNullable<ChildProcess["stdout"]> })) {
    if (line.startsWith("pack ")) pack = Number(line.slice("pack ".length));
    // Its port: it serves.
    if (/^\d+$/.test(line)) break;
  }
  expect(runs()).toBe(true);
  engine.kill("SIGKILL");
  await expect.poll(runs, { timeout: 15_000, interval: 100 }).toBe(false);
}, 120_000);
