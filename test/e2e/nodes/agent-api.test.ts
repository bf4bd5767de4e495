/**
 * The API against its own OpenAPI document: schemathesis makes thousands of requests, good and bad ones, and no answer
 * may be an error of the server or other than the document says.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle, makeNode, type Node } from "../../process/berthd-process";

const VERSION = "4.32.5";
/** Installing it takes 20 s; a minute and more means that there is no package registry that answers. */
const INSTALL_MS = 60_000;

let folder: string;
let node: Node | undefined;
let programs: string | undefined;
let missing: string | undefined;
const program = () => join(folder, "venv", "bin", "schemathesis");

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "berth-schemathesis-"));
  if (process.getuid?.() !== 0) {
    missing = "the tests do not run as root, and root makes the first token";
    return;
  }
  const venv = spawnSync("python3", ["-m", "venv", join(folder, "venv")], {
    encoding: "utf8",
    timeout: INSTALL_MS,
  });
  const pip = spawnSync(join(folder, "venv", "bin", "pip"), ["install", "-q", `schemathesis==${VERSION}`], {
    encoding: "utf8",
    timeout: INSTALL_MS,
  });
  if (venv.status !== 0 || pip.status !== 0 || !existsSync(program())) {
    const said = `${venv.stderr ?? ""}${pip.stderr ?? pip.error?.message ?? ""}`.trim().split("\n").at(-1);
    missing = `schemathesis ${VERSION} cannot be installed: ${said || "no answer in time"}`;
    return;
  }
  programs = await bundle();
  node = await makeNode(programs);
  node.writeNode({ listen: "loopback", port: 0 });
}, 180_000);

afterAll(async () => {
  await node?.close();
  if (programs) rmSync(programs, { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
});

/** A grant that is over can still be looked at, so nothing is gone after DELETE. `unknown-user` and the like are no fault: the document cannot say which names there are. */
const config = `
[checks]
positive_data_acceptance.enabled = false
use_after_free.enabled = false
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 422, 429]
`;

describe("the API, by its document", () => {
  it.each([
    ["an operator", { role: "admin" }],
    ["a user", { role: "user", owner: "alice" }],
  ])("answers %s as it says, without a server error", async (_who, wanted) => {
    if (missing !== undefined || !node) {
      console.warn(`NOT CHECKED by schemathesis: ${missing}`);
      return;
    }
    const berthd = await node.start();
    try {
      const made = await node.call("POST", "/v1/tokens", { body: wanted });
      expect(made.status).toBe(201);
      const port = /"port":(\d+)/.exec(berthd.output())?.[1];
      expect(port).toBeDefined();
      const file = join(folder, "schemathesis.toml");
      writeFileSync(file, config);
      const child = spawn(
        program(),
        [
          ...["--config-file", file, "run", `http://127.0.0.1:${port}/openapi.json`],
          ...[
            "-H",
            `Authorization: Bearer ${made.body.token}`,
            "--max-examples",
            "40",
            "--seed",
            "1",
            "--no-color",
          ],
        ],
        { cwd: folder, stdio: ["ignore", "pipe", "pipe"] },
      );
      let text = "";
      for (const stream of [child.stdout, child.stderr]) {
        stream.on("data", (part: Buffer) => {
          text += part.toString();
        });
      }
      const code = await new Promise<number | null>((done) => child.once("close", done));
      expect(text).toMatch(/\d{3,} generated/);
      expect(code, text.slice(-6000)).toBe(0);
      expect((await node.call("GET", "/health")).body.status).toBe("ok");
    } finally {
      berthd.child.kill("SIGTERM");
      await berthd.ended;
    }
  });
});
