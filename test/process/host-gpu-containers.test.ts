/**
 * Which containers of others would lose their GPUs when systemd reloads: the preflight reads what Docker says of each.
 * Proves: every way to ask for a GPU is seen, however the answer is written, and nothing else is taken for one.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { DOCKER } from "../../components/host/retire/looks";
import { lookMachine } from "./host-look-helpers";

const { at, tool, look, seen } = lookMachine();

const asks = (ask: object) => ({ Runtime: "runc", Devices: [], DeviceRequests: [ask] });
const HOLDERS: Record<string, object> = {
  runtime: { Runtime: "nvidia", DeviceRequests: null, Devices: null },
  "gpus-all": asks({ Driver: "", Count: -1, DeviceIDs: null, Capabilities: [["gpu"]], Options: {} }),
  "gpus-one": asks({ Driver: "", Count: 0, DeviceIDs: ["0"], Capabilities: [["compute", "gpu"]] }),
  driver: asks({ Driver: "nvidia", Count: 1, DeviceIDs: null, Capabilities: null }),
  cdi: asks({ Driver: "cdi", Count: 0, DeviceIDs: ["nvidia.com/gpu=GPU-0"], Capabilities: null }),
  file: { Runtime: "runc", DeviceRequests: null, Devices: [{ PathOnHost: "/dev/nvidia0" }] },
};
const OTHERS: Record<string, object> = {
  plain: { Runtime: "runc", DeviceRequests: null, Devices: null },
  named: { Runtime: "runc", Binds: ["/srv/nvidia:/nvidia"], Env: ["A=nvidia"], Devices: [] },
  "another-maker": asks({ Driver: "cdi", DeviceIDs: ["amd.com/gpu=0"], Capabilities: null }),
  fuse: { Runtime: "runc", DeviceRequests: [], Devices: [{ PathOnHost: "/dev/fuse" }] },
};

/** The names that the preflight tells, on a node whose driver's devices have no links of their own. */
function told(write: (host: object) => string): { names: string[]; stderr: string } {
  const containers = { ...OTHERS, ...HOLDERS };
  mkdirSync(at("hosts"), { recursive: true });
  for (const [name, host] of Object.entries(containers)) writeFileSync(at(`hosts/${name}`), write(host));
  tool("docker", `case $3 in '{{.Name}}') echo "/$4" ;; *) cat ${at("hosts")}/"$4" ;; esac`);
  const step = /^holds_gpu\(\) \{[\s\S]*\nfi$/m.exec(DOCKER)?.[0] ?? "exit 1";
  // A device that each machine has, in the place of the driver's.
  const here = step.replaceAll("/dev/nvidia0", "/dev/null").replaceAll("/dev/char/", `${at("char")}/`);
  const lines = Object.keys(containers).map((name) => `'${name}\tits name'`);
  const { stderr } = look(`driver=systemd\nprintf '%s\\n' ${lines.join(" ")} >"$work/others"\n${here}`);
  return { names: seen("gpu").trim().split("\n"), stderr };
}

describe("containers with GPUs", () => {
  it.each<[string, (host: object) => string]>([
    ["on one line", (host) => JSON.stringify(host)],
    ["over many", (host) => JSON.stringify(host, null, 2)],
  ])("are those that asked for one in any way, from an answer %s", (_, write) => {
    const { names, stderr } = told(write);
    expect(names).toEqual(Object.keys(HOLDERS));
    expect(stderr).toContain(`these containers would lose their GPUs when systemd reloads its units`);
    expect(stderr).toContain(Object.keys(HOLDERS).join(" "));
  });
});
