/**
 * The registry image and `scripts/image.mjs push`, on the operator's engine: who may read, who may write, what is
 * left behind, and that a half-dead registry ends.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { policyFlags } from "../../lib/container-flags";
import { docker, removeThings } from "../../lib/docker";
import { basic as account, get } from "../../lib/http";
import { type Ran, run } from "../../lib/run";
import { MINUTE, SECOND } from "../../lib/time";
import { until } from "../../lib/until";

const NAME = `berth-registrytest-${process.pid}`;
/** As a stack's name: the pushed tags carry it. */
const STACK = `registrytest${process.pid}`;
const MANIFEST = { Accept: "application/vnd.docker.distribution.manifest.v2+json" };
const password = randomBytes(16).toString("hex");
const dir = mkdtempSync(join(tmpdir(), `${NAME}-`));
let read = "";
let write = "";

const image = (args: string[], input = ""): Promise<Ran> =>
  run("node", ["scripts/image.mjs", ...args], { deadline: 20 * MINUTE, input });

const push = (word: string) =>
  image(
    ["push", "registry", "--registry", write, "--stack", STACK],
    JSON.stringify({ username: "push", password: word }),
  );

const basic = (word: string) => account("push", word);

const ownTags = async () =>
  (await docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}"))
    .split("\n")
    .filter((tag) => tag.includes(STACK));

beforeAll(async () => {
  const built = await image(["build", "registry", "--json"]);
  expect(built.code, built.stderr).toBe(0);
  const options = ["--name", NAME, ...policyFlags("registry")];
  // Port 0: the engine picks free ones.
  options.push(
    "--publish",
    "127.0.0.1:0:5000",
    "--publish",
    "127.0.0.1:0:5001",
    "--volume",
    `${NAME}:/var/lib/registry`,
  );
  await docker("create", ...options, JSON.parse(built.stdout).ref);
  const file = join(dir, "credentials.json");
  writeFileSync(file, JSON.stringify({ username: "push", password }), { mode: 0o444 });
  await docker("cp", file, `${NAME}:/etc/berth/registry/credentials.json`);
  await docker("start", NAME);
  read = await docker("port", NAME, "5000");
  write = await docker("port", NAME, "5001");
  await until("both listeners", 30 * SECOND, async () => {
    const answers = await Promise.all([get(`http://${read}/v2/`), get(`http://${write}/v2/`)]).catch(
      () => [],
    );
    return answers.join() === "200,401";
  });
});

afterAll(async () => {
  await removeThings({ containers: [NAME], volumes: [NAME] });
  rmSync(dir, { recursive: true, force: true });
});

describe("registry image", () => {
  it("lets anybody read and only the account write", async () => {
    expect(await get(`http://${write}/v2/`, basic(password))).toBe(200);
    expect(await get(`http://${write}/v2/`, basic("wrong"))).toBe(401);
    const upload = await fetch(`http://${read}/v2/x/blobs/uploads/`, { method: "POST" });
    expect(upload.status).toBe(405);
  });

  it("has no right of root and no plain password but in the file that it was given", async () => {
    expect(await docker("exec", NAME, "cat", "/proc/1/status")).toMatch(/^CapBnd:\t0+$/m);
    expect(await docker("exec", NAME, "cat", "/var/lib/berth-registry/htpasswd")).toMatch(/^push:\$2b\$10\$/);
    expect((await docker("logs", NAME)).includes(password)).toBe(false);
  });

  it("refuses a push with a wrong password, and does not show it", async () => {
    const refused = await push("wrong-password-1");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/unauthorized/);
    expect(refused.stdout + refused.stderr).not.toContain("wrong-password-1");
    expect(await ownTags()).toEqual([]);
  });

  it("keeps a pushed image under its digest, over a restart; no tag is left on the engine", async () => {
    const first = await push(password);
    expect(first.stderr).toBe("");
    const { digest } = JSON.parse(first.stdout);
    expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(await ownTags()).toEqual([]);
    expect((await push(password)).stdout).toBe(first.stdout);
    await docker("restart", NAME);
    const address = await docker("port", NAME, "5000");
    await until("the image after a restart", 30 * SECOND, async () => {
      const url = `http://${address}/v2/berth/registry/manifests/${digest}`;
      return (await get(url, MANIFEST).catch(() => 0)) === 200;
    });
  });

  it("`remove` drops what a killed push left, and nothing of another stack", async () => {
    const ref = JSON.parse((await image(["build", "registry"])).stdout).ref as string;
    const hash = ref.split(":")[1];
    const mine = `127.0.0.1:9/berth/registry:${STACK}-${hash}`;
    const other = `127.0.0.1:9/berth/registry:${STACK}-b-${hash}`;
    await docker("tag", ref, mine);
    await docker("tag", ref, other);
    try {
      expect((await image(["remove", "registry", "--stack", STACK])).code).toBe(0);
      expect(await ownTags()).toEqual([other]);
    } finally {
      await docker("image", "rm", other);
    }
    expect(await docker("image", "inspect", "--format", "{{.Id}}", ref)).toMatch(/^sha256:/);
  });

  it("ends when one of its listeners does, so that the restart policy starts both anew", async () => {
    const listeners = await docker("exec", NAME, "bash", "-c", "grep -l read.yml /proc/[0-9]*/cmdline");
    const pid = /\/proc\/(\d+)\//.exec(
      listeners.split("\n").find((line) => !line.includes("/self/")) ?? "",
    )?.[1];
    // By bash: the image has no procps.
    await docker("exec", NAME, "bash", "-c", `kill -KILL ${pid}`);
    await until("the container's end", 20 * SECOND, async () => {
      return (
        (await docker("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", NAME)) === "exited 1"
      );
    });
  });
});
