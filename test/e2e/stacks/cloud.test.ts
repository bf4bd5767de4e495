/**
 * A stack of droplets, whole: `up` on DigitalOcean's test API, whose droplets boot with the real cloud-init, to a Ray
 * task and a workspace; killed and gone on with; changed; scanned from outside; and taken down.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { hostKeys } from "../../fakes/digitalocean/machines/rig";
import { MINUTE } from "../../lib/time";
import { until } from "../../lib/until";
import {
  ALL_PORTS,
  type Cloud,
  configuration,
  droplet,
  inWorkspace,
  killedUp,
  listening,
  nodes,
  type OutputNode,
  onNode,
  rayNodes,
  scan,
  startCloud,
} from "./cloud-rig";

const KILLS = 10;

let cloud: Cloud;
/** Whether there is a stack; without one the rest would only wait for what cannot come. */
let whole = false;

beforeAll(async () => {
  cloud = await startCloud();
  cloud.stack.removeHome();
  cloud.stack.makeHome();
  cloud.stack.writeConfiguration(configuration());
});

afterAll(async () => {
  if (!cloud) return;
  if (cloud.machines.failures.length > 0) console.error(cloud.machines.failures.join("\n"));
  await cloud.close();
  if (!process.env.KEEPHOME) cloud.stack.removeHome();
});

/** What the account holds, by kind. */
const held = () => {
  const { droplets, volumes, firewalls, vpcs, keys, reservedIps } = cloud.api.state;
  return {
    droplets: [...droplets.values()].map(({ name }) => name).sort(),
    volumes: [...volumes.values()].map(({ name }) => name).sort(),
    firewalls: firewalls.size,
    vpcs: [...vpcs.values()].filter(({ default: own }) => !own).length,
    keys: keys.size,
    reservedIps: reservedIps.size,
  };
};

const node = async (name: string): Promise<OutputNode> => {
  const found = (await nodes(cloud.stack)).find((one) => one.name === name);
  if (!found) throw new Error(`no node ${name} among the outputs`);
  return found;
};

beforeEach(({ task }) => {
  if (!whole && !task.name.startsWith("converges")) throw new Error("there is no stack: the first up failed");
});

describe("up", () => {
  it("converges after it was killed at ten points, with nothing made twice", {
    timeout: 60 * MINUTE,
  }, async () => {
    let kills = 0;
    while (kills < KILLS) {
      if (!(await killedUp(cloud.stack, (created) => created >= 3))) break;
      kills++;
      const { droplets, volumes } = held();
      expect(new Set(droplets).size, `droplets after kill ${kills}: ${droplets}`).toBe(droplets.length);
      expect(new Set(volumes).size, `volumes after kill ${kills}: ${volumes}`).toBe(volumes.length);
    }
    expect(kills).toBe(KILLS);
    await cloud.stack.up(["--skip-preview"]);
    expect(held()).toEqual({
      droplets: ["berth-cloud-e2e-drop-0", "berth-cloud-e2e-drop-1"],
      volumes: ["berth-cloud-e2e-data"],
      firewalls: 1,
      vpcs: 1,
      keys: 1,
      reservedIps: 1,
    });
    whole = true;
  });

  it("has nothing to do a second time", { timeout: 10 * MINUTE }, () => cloud.stack.nothingToDo());
});

describe("after up", () => {
  it("has machines whose first boot cloud-init finished, without an error or a warning of ours", async () => {
    for (const one of await nodes(cloud.stack)) {
      expect(await onNode(cloud.stack, one, "cloud-init status --wait")).toContain("status: done");
      expect(await onNode(cloud.stack, one, "cloud-init schema --system")).not.toMatch(/error|warning/i);
      const warnings = await onNode(
        cloud.stack,
        one,
        "grep -E 'WARNING|ERROR|CRITICAL' /var/log/cloud-init.log || true",
      );
      expect(warnings).toBe("");
    }
  });

  it("shows host keys of the machines' own, which their user data does not hold", async () => {
    const known = readFileSync(join(cloud.stack.folder, "known_hosts"), "utf8");
    for (const one of await nodes(cloud.stack)) {
      const [shown = "", ...others] = await hostKeys(one.address);
      expect(others).toEqual([]);
      expect(known).toContain(`${one.address} ${shown}\n`);
      const userData = await onNode(cloud.stack, one, "cat /var/lib/cloud/instance/user-data.txt");
      expect(userData).toContain("ed25519_private");
      expect(userData).not.toContain(shown.split(" ")[1]);
    }
  });

  it("has the homes on the volume", async () => {
    const source = await onNode(
      cloud.stack,
      await node("drop-0"),
      "findmnt -n -o SOURCE,FSTYPE /mnt/storage",
    );
    expect(source).toMatch(/^\/dev\/\S+ +ext4$/);
    expect(await onNode(cloud.stack, await node("drop-0"), "ls /mnt/storage/homes")).toContain("alice");
  });

  it("lets a person into the workspace by SSH", async () => {
    const { privateAddress } = await node("drop-0");
    const alice = { name: "alice", host: privateAddress, port: 10022 };
    expect(await inWorkspace(cloud.stack, alice, "id -un; echo kept > ~/kept; hostname")).toBe(
      "alice\nalice",
    );
  });

  it("runs a Ray task on each droplet", { timeout: 5 * MINUTE }, async () => {
    expect(await rayNodes(cloud.stack, "drop-0")).toEqual(["drop-0", "drop-1"]);
  });

  it("shows its ports and no other, over IPv4 and IPv6, also after all that may open one", {
    timeout: 20 * MINUTE,
  }, async () => {
    const [head, worker] = [await node("drop-0"), await node("drop-1")];
    const sixth = await onNode(
      cloud.stack,
      worker,
      'ip -6 -o addr show scope global | awk \'$2 == "eth0" {split($4, a, "/"); print a[1]}\' | head -n 1',
    );
    expect(sixth).toContain(":");
    const everywhere = async () => {
      // Ray, the registry and the workspace are among them, or the test would prove nothing; Ray takes its time.
      const first = await until("all that should listen", 3 * MINUTE, async () => {
        const ports = await listening(cloud.stack, head);
        return [22, 5000, 6379, 8265, 10022].every((port) => ports.includes(port)) && ports;
      });
      const second = await listening(cloud.stack, worker);
      expect(await scan(head.address, first), "the reserved address").toEqual([22]);
      expect(await scan(worker.address, second), "the public address").toEqual([22]);
      expect(await scan(sixth, second), "the public address, IPv6").toEqual([22]);
    };
    expect(await scan(head.address, ALL_PORTS), "all ports of the reserved address").toEqual([22]);
    expect(await scan(sixth, ALL_PORTS), "all ports over IPv6").toEqual([22]);
    await everywhere();
    for (const script of ["ufw reload", "systemctl restart docker"]) {
      for (const one of [head, worker]) await onNode(cloud.stack, one, script);
      await everywhere();
    }
    for (const one of [head, worker]) await reboot(one);
    await everywhere();
    await cloud.stack.allUp(5 * MINUTE);
  });

  it("has nothing to do after all that", { timeout: 10 * MINUTE }, () => cloud.stack.nothingToDo());
});

/** Restarts the machine from inside, and waits until it has come up with another boot. */
async function reboot(one: OutputNode): Promise<void> {
  const id = "systemctl show -p UserspaceTimestampMonotonic init.scope; cat /proc/1/stat | cut -d ' ' -f 22";
  const before = await onNode(cloud.stack, one, id);
  await onNode(cloud.stack, one, "systemd-run --on-active=1 systemctl reboot").catch(() => "");
  await until(`${one.name} is up again`, 3 * MINUTE, async () => {
    const now = await onNode(cloud.stack, one, `${id}; systemctl is-active -q docker`);
    return now !== before;
  });
}

describe("a change", () => {
  it("adds a droplet and touches no other", { timeout: 20 * MINUTE }, async () => {
    cloud.stack.edit((config) => config["berth:nodes"].push(droplet(2, "worker")));
    const steps = await cloud.stack.changes();
    expect(steps.filter(({ op }) => op !== "create" && op !== "read")).toEqual([]);
    await cloud.stack.up();
    expect(await rayNodes(cloud.stack, "drop-0")).toEqual(["drop-0", "drop-1", "drop-2"]);
  });

  it("resizes a droplet in place", { timeout: 20 * MINUTE }, async () => {
    const id = () => [...cloud.api.state.droplets.values()].find(({ name }) => name.endsWith("drop-1"))?.id;
    const before = id();
    cloud.stack.edit((config) => {
      config["berth:nodes"][1].size = "s-4vcpu-8gb";
    });
    const steps = await cloud.stack.changes();
    expect(steps).toContainEqual({ op: "update", name: "berth-drop-1" });
    expect(steps.filter(({ op }) => op.includes("replace") || op === "delete")).toEqual([]);
    await cloud.stack.up();
    expect(id()).toBe(before);
    await cloud.stack.allUp(5 * MINUTE);
  });

  it("refuses a smaller volume in the preview", { timeout: 5 * MINUTE }, async () => {
    const size = (text: string) =>
      cloud.stack.edit((config) => {
        config["berth:nodes"][0].volumes[0].size = text;
      });
    size("1GiB");
    const ran = await cloud.stack.berth("preview");
    size("2GiB");
    expect(ran.code).not.toBe(0);
    expect(ran.text).toContain("a volume can only grow");
  });

  it("removes a droplet, and leaves the rest as it is", { timeout: 20 * MINUTE }, async () => {
    cloud.stack.edit((config) => config["berth:nodes"].pop());
    const steps = await cloud.stack.changes();
    expect(steps.filter(({ op }) => op !== "delete")).toEqual([]);
    await cloud.stack.up();
    // A deleted droplet is there for a while.
    await cloud.api.idle();
    expect(held().droplets).toEqual(["berth-cloud-e2e-drop-0", "berth-cloud-e2e-drop-1"]);
    const { privateAddress } = await node("drop-0");
    const alice = { name: "alice", host: privateAddress, port: 10022 };
    expect(await inWorkspace(cloud.stack, alice, "cat ~/kept")).toBe("kept");
  });
});

describe("destroy", () => {
  it("leaves the account as it was", { timeout: 20 * MINUTE }, async () => {
    const ran = await cloud.stack.berth("destroy", ["--yes"]);
    expect(ran.code, ran.text.slice(-3000)).toBe(0);
    await cloud.api.idle();
    expect(held()).toEqual({ droplets: [], volumes: [], firewalls: 0, vpcs: 0, keys: 0, reservedIps: 0 });
  });
});
