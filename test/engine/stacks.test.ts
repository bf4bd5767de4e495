/**
 * The committed stacks of real machines under the real engine.
 * Proves: each previews as it stands, with the policy pack, without a secret, a token or a machine; an update refuses
 * its placeholders by name before anything is made; the stack files stay as their author wrote them.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const MINUTE = 60_000;
const root = join(__dirname, "../..");
let home: string;

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "berth-stacks-"));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** `npm run preview` or `npm run up`, with a state of the test's own. */
function berth(...args: string[]): Promise<{ code: number; text: string }> {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    BERTH_HOME: home,
    NO_COLOR: "1",
    DIGITALOCEAN_TOKEN: "not-a-token",
  };
  for (const name of Object.keys(env)) if (/^(PULUMI_|SSH_AUTH_SOCK$)/.test(name)) delete env[name];
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ["scripts/pulumi.mjs", ...args, "--color", "never"],
      { cwd: root, env, timeout: 4 * MINUTE, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 124;
        resolve({ code, text: `${stdout}\n${stderr}` });
      },
    );
  });
}

describe.each([
  { stack: "cloud", placeholder: "berth:users[1].keys[0]" },
  { stack: "metal", placeholder: "berth:users[1].keys[0]" },
  { stack: "manager", placeholder: "berth:digitalocean.allowSshFrom[0]" },
])("the stack $stack", ({ stack, placeholder }) => {
  const file = () => readFileSync(join(root, `Pulumi.${stack}.yaml`), "utf8");

  it(
    "previews as it stands, and keeps to the policy pack",
    async () => {
      const before = file();
      const { code, text } = await berth("preview", "--stack", stack, "--policy-pack", "policy");
      expect(text).toContain("✅ berth@v");
      expect(text).toMatch(/\+ \d+ to create/);
      expect(text).not.toMatch(/^\s+error:/m);
      expect(code).toBe(0);
      expect(file()).toBe(before);
    },
    5 * MINUTE,
  );

  it(
    "refuses to be made before its placeholders are replaced, and makes nothing",
    async () => {
      const { code, text } = await berth("up", "--stack", stack, "--yes", "--skip-preview");
      expect(code).not.toBe(0);
      expect(text).toContain(
        "is still a placeholder: a preview may go on with it, an update needs the value",
      );
      expect(text).toContain(placeholder);
      // The stack itself is the only resource that the engine has by then.
      expect(text).not.toContain("berth:index:Cluster");
    },
    5 * MINUTE,
  );
});
