/**
 * Berth's docker plugin under the real engine, on this computer's Docker, over its socket and over SSH. Proves what
 * the unit tests cannot: that Pulumi, the SDK, the plugin and the daemon agree about previews, secrets, replaces,
 * drift and clean ends.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Sshd, startSshd } from "../fakes/sshd";
import { until } from "../lib/until";
import { makeTinyImage } from "./docker-image";
import { type Edit, programText } from "./docker-program";
import { Sandbox, type Step } from "./sandbox";

/** A test takes seconds; the limits are for a computer that does much else. */
const MINUTE = 60_000;
/** Every object's name begins so; nothing else is ever touched. */
const PREFIX = `berth-plugtest-${process.pid}`;
const IMAGE = `${PREFIX}:1`;
const SECRET = "TOPSECRET-content";

let sandbox: Sandbox;
let sshd: Sshd;
let work: string;

const docker = (...args: string[]): string => execFileSync("docker", args, { encoding: "utf8" }).trim();
const inspect = (thing: string, format: string): string =>
  docker("inspect", "--format", format, `${PREFIX}-${thing}`);
const there = (kind: string): string[] =>
  docker(
    kind,
    "ls",
    ...(kind === "container" ? ["-a"] : []),
    "--filter",
    `name=${PREFIX}`,
    "--format",
    kind === "container" ? "{{.Names}}" : "{{.Name}}",
  )
    .split("\n")
    .filter((name) => name !== "");
const kinds = (steps: Step[]): string[] =>
  steps.map((step) => `${step.op} ${step.urn.split("::").at(-1)}`).sort();

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "berth-engine-"));
  makeTinyImage(IMAGE);
  sshd = await startSshd();
  writeFileSync(join(work, "known_hosts"), `[127.0.0.1]:${sshd.port} ${sshd.hostKey}\n`);
  sandbox = await Sandbox.make(["docker"], { typescript: false });
}, 10 * MINUTE);

afterAll(async () => {
  await sandbox?.remove();
  for (const name of there("container")) spawnSync("docker", ["rm", "-f", name]);
  for (const kind of ["network", "volume"])
    for (const name of there(kind)) spawnSync("docker", [kind, "rm", name]);
  spawnSync("docker", ["rmi", "-f", IMAGE]);
  await sshd?.stop();
  rmSync(work, { recursive: true, force: true });
}, 5 * MINUTE);

function program(edit: Edit = {}, host = "unix:///var/run/docker.sock", sshOpts: string[] = []): void {
  sandbox.program(programText({ prefix: PREFIX, image: IMAGE, work, secret: SECRET }, edit, host, sshOpts));
}

describe("docker plugin", () => {
  it(
    "creates nothing in a preview, then everything, healthy, with secrets nowhere in the open",
    async () => {
      program();
      const previewed = await sandbox.ok(["preview", "--diff"]);
      expect([...there("container"), ...there("network"), ...there("volume")]).toEqual([]);
      const ran = await sandbox.up();
      await until(
        "it is healthy",
        2 * MINUTE,
        () => inspect("web", "{{.State.Health.Status}}") === "healthy",
      );
      expect(docker("exec", `${PREFIX}-web`, "stat", "-c", "%a %u", "/etc/berth/key")).toBe("600 0");
      expect(docker("exec", `${PREFIX}-web`, "cat", "/etc/berth/key")).toBe(SECRET);
      const outputs = await sandbox.outputs();
      expect(outputs.address).toBe("10.97.31.10");
      const [port] = outputs.ports as { external: number }[];
      expect(docker("port", `${PREFIX}-web`)).toBe(`80/tcp -> 127.0.0.1:${port?.external}`);
      for (const text of [previewed.text, ran.text, sandbox.stateOnDisk()])
        expect(text).not.toContain(SECRET);
    },
    10 * MINUTE,
  );

  it("keeps the state that the official plugin keeps", async () => {
    const found = (await sandbox.resources()).find(({ urn }) => urn.endsWith("::web"));
    expect(found?.id).toMatch(/^[0-9a-f]{64}$/);
    expect(JSON.parse(String(found?.outputs?.__meta)).schema_version).toBe("2");
    for (const bag of [found?.inputs, found?.outputs]) {
      for (const key of ["envs", "uploads"]) expect(JSON.stringify(bag?.[key])).toContain("ciphertext");
      expect(JSON.stringify(bag?.labels)).not.toContain("ciphertext");
    }
  });

  it(
    "has nothing to do the second time, nor after a refresh",
    async () => {
      await sandbox.quiet();
      await sandbox.ok(["refresh", "--yes", "--skip-preview", "--expect-no-changes"]);
      await sandbox.quiet();
    },
    5 * MINUTE,
  );

  it(
    "updates limits and restart policy in place",
    async () => {
      const before = inspect("web", "{{.Id}} {{.State.StartedAt}}");
      program({ web: 'memory: 96, memorySwap: 96, restart: "always",' });
      const steps = await sandbox.preview();
      expect(kinds(steps)).toEqual(["update web"]);
      expect(Object.keys(steps[0]?.detailedDiff ?? {}).sort()).toEqual(["memory", "memorySwap", "restart"]);
      await sandbox.up();
      expect(inspect("web", "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}")).toBe(
        `${96 * 1024 * 1024} always`,
      );
      expect(inspect("web", "{{.Id}} {{.State.StartedAt}}")).toBe(before);
      await sandbox.quiet();
    },
    5 * MINUTE,
  );

  it(
    "replaces when a label changes, old one first, and keeps the volume's data",
    async () => {
      docker("exec", `${PREFIX}-web`, "sh", "-c", "echo kept > /data/file");
      const before = inspect("web", "{{.Id}}");
      program({ web: 'labels: [{ label: "berth.stack", value: "two" }],' });
      const steps = await sandbox.preview();
      expect(kinds(steps)).toContain("replace web");
      expect(kinds(steps).filter((step) => !step.endsWith(" web"))).toEqual([]);
      await sandbox.up();
      expect(inspect("web", "{{.Id}}")).not.toBe(before);
      expect(inspect("web", '{{index .Config.Labels "berth.stack"}}')).toBe("two");
      expect(docker("exec", `${PREFIX}-web`, "cat", "/data/file")).toBe("kept");
      expect(there("container")).toEqual([`${PREFIX}-web`]);
      await sandbox.quiet();
    },
    5 * MINUTE,
  );

  it(
    "shows a stopped container as drift, and starts that very one",
    async () => {
      const before = inspect("web", "{{.Id}}");
      docker("update", "--restart", "always", `${PREFIX}-web`);
      docker("kill", `${PREFIX}-web`);
      docker("wait", `${PREFIX}-web`);
      const refreshed = await sandbox.ok(["refresh", "--yes", "--skip-preview", "--diff"]);
      expect(refreshed.text).toMatch(/mustRun/);
      const steps = await sandbox.preview();
      expect(kinds(steps)).toEqual(["update web"]);
      expect(Object.keys(steps[0]?.detailedDiff ?? {}).sort()).toEqual(["mustRun", "restart"]);
      await sandbox.up();
      expect(inspect("web", "{{.Id}} {{.State.Running}} {{.HostConfig.RestartPolicy.Name}}")).toBe(
        `${before} true unless-stopped`,
      );
      await sandbox.quiet();
    },
    5 * MINUTE,
  );

  it(
    "makes a container again that somebody removed",
    async () => {
      docker("rm", "-f", `${PREFIX}-web`);
      await sandbox.ok(["refresh", "--yes", "--skip-preview"]);
      expect(kinds(await sandbox.preview())).toEqual(["create web"]);
      await sandbox.up();
      await sandbox.quiet();
    },
    5 * MINUTE,
  );

  it(
    "takes over what an interrupted up left, and refuses the like of it that differs",
    async () => {
      const state = join(work, "state.json");
      await sandbox.ok(["stack", "export", "--file", state]);
      // As if the engine had been killed after the container, network and volume were made, before it wrote that down.
      for (const name of ["web", "net", "vol"]) {
        const urn = (await sandbox.resources()).find((resource) => resource.urn.endsWith(`::${name}`))
          ?.urn as string;
        await sandbox.ok(["state", "delete", urn, "--yes", "--force"]);
      }
      const before = inspect("web", "{{.Id}} {{.State.StartedAt}}");
      await sandbox.up();
      expect(inspect("web", "{{.Id}} {{.State.StartedAt}}")).toBe(before);
      await sandbox.quiet();

      const urn = (await sandbox.resources()).find((resource) => resource.urn.endsWith("::web"))
        ?.urn as string;
      await sandbox.ok(["state", "delete", urn, "--yes"]);
      program({ web: 'labels: [{ label: "berth.stack", value: "two" }], hostname: "other", envs: ["A=2"],' });
      const refused = await sandbox.run(["up", "--yes", "--skip-preview"]);
      expect(refused.code).not.toBe(0);
      expect(refused.text).toMatch(
        /is held by container [0-9a-f]{12} .*differs from the program in envs, hostname/s,
      );
      expect(refused.text).toContain(`docker rm -f ${PREFIX}-web`);
      expect(refused.text).not.toContain(SECRET);
      expect(inspect("web", "{{.Id}} {{.State.StartedAt}}")).toBe(before);

      await sandbox.ok(["stack", "import", "--file", state]);
      program({ web: 'labels: [{ label: "berth.stack", value: "two" }],' });
      await sandbox.quiet();
    },
    10 * MINUTE,
  );

  it(
    "imports what is there",
    async () => {
      const id = inspect("web", "{{.Id}}");
      const imported = await sandbox.ok([
        "import",
        "docker:index/volume:Volume",
        "second",
        `${PREFIX}-vol`,
        "--yes",
        "--generate-code=false",
        "--protect=false",
      ]);
      expect(imported.text).toMatch(/1 imported|import/);
      await sandbox.ok([
        "import",
        "docker:index/container:Container",
        "third",
        id,
        "--yes",
        "--generate-code=false",
        "--protect=false",
      ]);
      const third = (await sandbox.resources()).find(({ urn }) => urn.endsWith("::third"));
      expect(third?.inputs).toMatchObject({ name: `${PREFIX}-web`, hostname: "web", memory: 64 });
      for (const name of ["second", "third"]) {
        const urn = (await sandbox.resources()).find((resource) => resource.urn.endsWith(`::${name}`))
          ?.urn as string;
        await sandbox.ok(["state", "delete", urn, "--yes"]);
      }
      await sandbox.quiet();
    },
    5 * MINUTE,
  );

  it.each([
    ["an unknown nested input", "ports: [{ internal: 80, extern: 1 }],", /extern is not known/],
    ["a value of the wrong kind", 'memory: "much",', /memory is a string; give it as a whole number/],
    [
      "an attached container",
      "attach: true,",
      /attach is not supported here: .* install the official plugin/,
    ],
  ])(
    "refuses %s in the preview, without a secret in the message",
    async (_, web, message) => {
      program({ web });
      const ran = await sandbox.run(["preview"]);
      expect(ran.code).not.toBe(0);
      expect(ran.text.replace(/\s+/g, " ")).toMatch(message);
      expect(ran.text).not.toContain(SECRET);
    },
    5 * MINUTE,
  );

  it(
    "refuses an unknown property that an SDK lets through",
    async () => {
      program({
        web: 'labels: [{ label: "berth.stack", value: "two" }],',
        more: `new pulumi.CustomResource("docker:index/container:Container", "raw", { name: "x", image: "i", pidsLimit: 5 }, { provider });`,
      });
      const ran = await sandbox.run(["preview"]);
      expect(ran.code).not.toBe(0);
      expect(ran.text).toMatch(
        /pidsLimit is not known to docker:index\/container:Container; allowed: .*, memory/,
      );
    },
    5 * MINUTE,
  );

  it(
    "names what it does not offer",
    async () => {
      program({
        web: 'labels: [{ label: "berth.stack", value: "two" }],',
        more: 'new docker.Tag("t", { sourceImage: "a", targetImage: "b" }, { provider });',
      });
      const ran = await sandbox.run(["preview"]);
      expect(ran.code).not.toBe(0);
      expect(ran.text).toMatch(/docker:index\/tag:Tag is not part of Berth's docker plugin/);
    },
    5 * MINUTE,
  );

  it(
    "leaves nothing behind when a container cannot start, and says why",
    async () => {
      const more = `new docker.Container("bad", { name: "${PREFIX}-bad", image: "${IMAGE}", command: ["/no/such/program"], envs: [pulumi.secret("X=${SECRET}")] }, { provider });`;
      program({ web: 'labels: [{ label: "berth.stack", value: "two" }],', more });
      const ran = await sandbox.run(["up", "--yes", "--skip-preview"]);
      expect(ran.code).not.toBe(0);
      expect(ran.text).toMatch(/start container .*-bad.*no such file or directory/s);
      expect(ran.text).not.toContain(SECRET);
      expect(there("container")).toEqual([`${PREFIX}-web`]);
    },
    5 * MINUTE,
  );

  it(
    "does the same over SSH, in one connection, with the host's key checked",
    async () => {
      program();
      await sandbox.up(); // back to what the first test made
      const ssh = `ssh://${sshd.user}@127.0.0.1:${sshd.port}`;
      const opts = [
        "-i",
        sshd.keyPath,
        "-o",
        `UserKnownHostsFile=${join(work, "known_hosts")}`,
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "BatchMode=yes",
        "-o",
        "ControlMaster=auto",
        "-o",
        "ControlPersist=60",
      ];
      program({}, ssh, opts);
      // Another address of the same engine: the provider's inputs change, its containers do not.
      expect(kinds(await sandbox.preview())).toEqual(["update engine"]);
      await sandbox.up();
      const before = sshd.connections();
      await sandbox.ok(["refresh", "--yes", "--skip-preview", "--expect-no-changes"]);
      expect(sshd.connections() - before).toBe(1);
      const list = Array.from({ length: 6 }, (_, i) => `${PREFIX}-s${i}`);
      program(
        {
          more: `for (const name of ${JSON.stringify(list)}) new docker.Container(name, { name, image: "${IMAGE}", uploads: [{ file: "/etc/x", content: "y".repeat(200000) }] }, { provider });`,
        },
        ssh,
        opts,
      );
      const earlier = sshd.connections();
      await sandbox.up();
      expect(sshd.connections() - earlier).toBe(1);
      expect(docker("exec", list[5] as string, "wc", "-c", "/etc/x")).toBe("200000 /etc/x");
      await sandbox.quiet();

      writeFileSync(
        join(work, "known_hosts"),
        `[127.0.0.1]:${sshd.port} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n`,
      );
      const refused = await sandbox.run(["refresh", "--yes", "--skip-preview"]);
      expect(refused.code).not.toBe(0);
      expect(refused.text).toMatch(/host key/i);
    },
    10 * MINUTE,
  );

  it(
    "destroys cleanly",
    async () => {
      program();
      writeFileSync(join(work, "known_hosts"), `[127.0.0.1]:${sshd.port} ${sshd.hostKey}\n`);
      await sandbox.ok(["destroy", "--yes", "--skip-preview"]);
      expect([...there("container"), ...there("network"), ...there("volume")]).toEqual([]);
      expect(docker("images", "-q", IMAGE)).not.toBe(""); // keepLocally
    },
    5 * MINUTE,
  );
});
