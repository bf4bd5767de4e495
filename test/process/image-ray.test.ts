/** Ray's programs inside the images, as far as they go without a container. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { defaultPorts } from "../../config/network/ports";
import { python, WORKSPACE } from "./image-python";

const RAY = resolve("images/ray");

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "berth-ray-test-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe("ray in a workspace", () => {
  const client = { RAY_ADDRESS: "ray://10.88.0.10:30001", BERTH_RAY_GCS: "10.88.0.10:6379" };
  const CHOOSE = `
from berth_workspace import ray_command
print(json.dumps(ray_command.choose(json.loads(sys.argv[2]), json.loads(sys.argv[3]))))
`;
  const choose = (line: string, env: Record<string, string> = client) =>
    python(CHOOSE, WORKSPACE, JSON.stringify(line.split(" ").filter(Boolean)), JSON.stringify(env));

  it.each([
    "status",
    "status -v",
    "memory --stats-only",
    "health-check",
    "--logging-level debug status",
    "--logging-level=debug drain-node --node-id 1",
  ])("asks the GCS for `ray %s`", (line) => {
    expect(choose(line)).toEqual([{ RAY_ADDRESS: "10.88.0.10:6379" }, null]);
  });

  it.each([
    "",
    "--version",
    "job submit --working-dir . -- ray status",
    "list nodes",
    "summary tasks",
    "status --address 10.88.0.10:6379",
    "timeline --help",
    "kill-actor --address=10.88.0.10:6379",
  ])("leaves `ray %s` as it is", (line) => expect(choose(line)).toEqual([{}, null]));

  it.each(["timeline", "debug -v", "kill-actor --name x", "global-gc"])(
    "says where `ray %s` works",
    (line) => {
      const [more, refusal] = choose(line);
      expect(more).toEqual({});
      expect(refusal).toMatch(
        new RegExp(`^ray ${line.split(" ")[0]} works on a node[^]*ray job submit -- ray ${line}$`),
      );
    },
  );

  it.each([
    ["whoever chose a cluster of their own", { ...client, RAY_ADDRESS: "10.0.0.1:6379" }],
    ["a workspace without a cluster", {}],
  ])("changes nothing for %s", (_, env) => {
    for (const line of ["status", "timeline"]) expect(choose(line, env)).toEqual([{}, null]);
  });
});

describe("berth-ray", () => {
  const ports = defaultPorts.ray;
  const settings = () => ({
    RAY_AUTH_MODE: "token",
    RAY_AUTH_TOKEN_PATH: join(dir, "token"),
    BERTH_RAY_NODE_IP: "10.88.0.11",
    BERTH_RAY_HEAD: "10.88.0.10:6379",
    BERTH_RAY_PORTS: JSON.stringify(ports),
    BERTH_RAY_CPUS: "2",
    BERTH_RAY_MEMORY: "1500000000",
  });
  const COMMAND = `
import berth_ray
try:
    found = berth_ray.read_settings(json.loads(sys.argv[2]))
    print(json.dumps({role: berth_ray.start_command(role, found) for role in ("head", "worker")}))
except berth_ray.BadSettings as error:
    print(json.dumps({"wrong": str(error).split("\\n")}))
`;
  beforeEach(() => writeFileSync(join(dir, "token"), "token-1\n"));

  it("pins every port of both roles", () => {
    const { head, worker } = python(COMMAND, RAY, JSON.stringify(settings()));
    const numbers = (words: string[]) =>
      words.flatMap((word) => /^--(?:.*-)?port=(\d+)$/.exec(word)?.[1] ?? []).map(Number);
    const shared = [30002, 30003, 30004, 30005, 30006, 30007, 31000, 31999];
    expect(numbers(head)).toEqual([6379, 8265, 30001, ...shared]);
    expect(numbers(worker)).toEqual(shared);
    expect(head).toContain("--dashboard-host=10.88.0.11");
    expect(worker).toContain("--address=10.88.0.10:6379");
    for (const words of [head, worker]) {
      expect(words).toContain("--disable-usage-stats");
      expect(words.join(" ")).not.toContain("token-1");
    }
  });

  it("names every wrong setting at once", () => {
    const bad = {
      ...settings(),
      RAY_AUTH_MODE: "",
      RAY_AUTH_TOKEN_PATH: join(dir, "none"),
      BERTH_RAY_HEAD: "head",
      BERTH_RAY_CPUS: "many",
      BERTH_RAY_PORTS: JSON.stringify({ ...ports, client: 70000, workers: {} }),
    };
    const lines: string[] = python(COMMAND, RAY, JSON.stringify(bad)).wrong;
    for (const start of [
      "BERTH_RAY_PORTS: client: 70000",
      "BERTH_RAY_PORTS: workers: None",
      "BERTH_RAY_CPUS: 'many'",
      "BERTH_RAY_HEAD: 'head' is not HOST:PORT",
      `RAY_AUTH_TOKEN_PATH: ${join(dir, "none")}: No such file`,
      "RAY_AUTH_MODE must be token",
    ]) {
      expect(
        lines.some((line) => line.startsWith(start)),
        start,
      ).toBe(true);
    }
  });

  it("refuses another role", () => {
    const done = spawnSync("python3", ["-I", join(RAY, "berth_ray.py"), "boss"], { encoding: "utf8" });
    expect([done.status, done.stderr]).toEqual([2, "usage: berth-ray head | worker\n"]);
  });
});
