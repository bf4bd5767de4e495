/**
 * The API against its own OpenAPI document: schemathesis makes thousands of requests, good and bad ones, and no answer
 * may be an error of the server or other than the document says.
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FakeDockerd } from "../fakes/dockerd";
import { must, run } from "../lib/run";
import { MINUTE } from "../lib/time";
import { configOf } from "../unit/agent/manager/rig";
import { bundle, makeNode, type Node } from "./berthd-process";

const VERSION = "4.32.5";
/** Installing it takes 20 s, on a busy computer a minute; more means that there is no package registry that answers. */
const INSTALL_MS = 3 * MINUTE;

let folder: string;
let programs: string | undefined;
let python: string;
let missing: string | undefined;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "berth-schemathesis-"));
  if (process.getuid?.() !== 0) {
    missing = "the tests do not run as root, and root makes the first token";
    return;
  }
  try {
    python = await schemathesis();
  } catch (error) {
    const said = (error as Error).message.trim().split("\n").at(-1);
    missing = `schemathesis ${VERSION} cannot be installed: ${said}`;
    return;
  }
  programs = await bundle();
}, 8 * MINUTE);

afterAll(() => {
  if (programs) rmSync(programs, { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
});

/** A Python that has schemathesis, installed once on a computer. */
async function schemathesis(): Promise<string> {
  const { places } = await import("../../scripts/lib/paths.mjs");
  const { cache } = places();
  const asked = await must("python3", ["-c", "import platform; print(platform.python_version())"]);
  const name = `schemathesis-${VERSION}-python-${asked.stdout.trim()}`;
  const there = join(cache, name, "bin/python");
  if (existsSync(there)) return there;

  // What is cut off is never used, and of two that install it at once either may be first: it can be moved, as
  // nothing calls its scripts, which name the folder that it was made in.
  mkdirSync(cache, { recursive: true });
  const made = mkdtempSync(join(cache, `${name}-`));
  try {
    await must("python3", ["-m", "venv", made], { deadline: INSTALL_MS });
    const words = ["-m", "pip", "install", "-q", `schemathesis==${VERSION}`];
    await must(join(made, "bin/python"), words, { deadline: INSTALL_MS });
    renameSync(made, join(cache, name));
  } catch (error) {
    if (!existsSync(there)) throw error;
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
  return there;
}

/** A grant that is over can still be looked at, so nothing is gone after DELETE. `unknown-user` and the like are no fault: the document cannot say which names there are. */
const config = `
[checks]
positive_data_acceptance.enabled = false
use_after_free.enabled = false
# It tries each operation with a wrong token; more than a few of those a minute answer 429.
ignored_auth.enabled = false
# A full node.
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 422, 429]
`;

describe("the API, by its document", { timeout: 10 * MINUTE }, () => {
  // Each has a berthd of its own, so they run side by side. More workers in one only take turns: Python runs one at a
  // time, and the requests are others in each run.
  it.concurrent.each([
    ["an operator", "api", { role: "admin" }],
    ["a user", "api", { role: "user", owner: "alice", requests_per_minute: 1_000_000 }],
    ["a back-end", "manager", { role: "tenant", owner: "web", requests_per_minute: 1_000_000 }],
  ])("answers %s as it says, without a server error", async (_who, door, wanted) => {
    if (missing !== undefined || programs === undefined) {
      if (process.env.BERTH_TEST_TOOLS === "required") throw new Error(missing);
      console.warn(`NOT CHECKED by schemathesis: ${missing}`);
      return;
    }
    const dockerd = new FakeDockerd();
    await dockerd.start();
    const image = `sha256:${"aa".repeat(32)}`;
    dockerd.images.set("node:24-slim", image).set(image, image);
    const node = await makeNode(programs);
    try {
      const templates = [{ name: "node", image: "node:24-slim", memory: "16MiB", cpus: 0.01, targetSize: 2 }];
      node.writeNode({
        ...{ listen: "loopback", port: 0, tenants: [{ name: "web" }] },
        manager: configOf({ templates, reserveMiB: 0 }),
      });
      const berthd = await node.start({ BERTH_DOCKER_SOCKET: dockerd.socket });
      const made = await node.call("POST", "/api/tokens", { body: wanted });
      expect(made.status).toBe(201);
      const port = Number(new RegExp(`"port":(\\d+)[^\\n]*"door":"${door}"`).exec(berthd.output())?.[1]);
      expect(port).toBeGreaterThan(0);
      await refusesStrangers(node, port);
      const cwd = join(folder, wanted.role);
      mkdirSync(cwd);
      const file = join(cwd, "schemathesis.toml");
      writeFileSync(file, config);
      const { code, text } = await run(
        python,
        [
          ...["-m", "schemathesis.cli", "--config-file", file],
          ...["run", `http://127.0.0.1:${port}/openapi.json`],
          ...["-H", `Authorization: Bearer ${made.body.token}`],
          // Streams do not end, so there is no whole answer to hold against the document.
          ...["/api/events", "/api/containers/{id}/logs", "/api/containers/{id}/terminal"].flatMap((path) => [
            "--exclude-path",
            path,
          ]),
          ...["--max-examples", "40", "--seed", "1", "--no-color"],
        ],
        { cwd, deadline: 9 * MINUTE },
      );
      expect(text).toMatch(/\d{3,} generated/);
      expect(code, text.slice(-6000)).toBe(0);
      expect((await node.call("GET", "/health")).body.status).toBe("ok");
      berthd.child.kill("SIGTERM");
      await berthd.ended;
    } finally {
      await node.close();
      await dockerd.close();
    }
  });
});

/** Each operation of the document, asked for without a token: all but the open ones ask for it. */
async function refusesStrangers(node: Node, port: number): Promise<void> {
  const { paths } = (await node.call("GET", "/openapi.json", { port })).body;
  const open = ["get /health", "get /ready", "get /openapi.json"];
  const answers: [string, number][] = [];
  for (const [path, methods] of Object.entries<object>(paths))
    for (const method of Object.keys(methods))
      if (!open.includes(`${method} ${path}`)) {
        const asked = path.replace(/\{\w+\}/g, "0123abcd");
        answers.push([`${method} ${path}`, (await node.call(method.toUpperCase(), asked, { port })).status]);
      }
  expect(answers.length).toBeGreaterThan(15);
  expect(answers.filter(([, status]) => status !== 401)).toEqual([]);
}
