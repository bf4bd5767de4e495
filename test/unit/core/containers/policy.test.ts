/**
 * The policy of containers, kind by kind. Proves: what each kind may do is this and no more; the kinds in which people or
 * the stack's own programs run keep nothing that leads out of a container.
 */
import { describe, expect, it } from "vitest";
import { type ContainerKind, containerPolicies, environment } from "../../../../core/containers";

const COMMON = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];
const kinds = Object.keys(containerPolicies) as ContainerKind[];

describe("the policy", () => {
  it.each<[ContainerKind, object]>([
    [
      "workspace",
      { capabilities: ["AUDIT_WRITE", ...COMMON, "SYS_CHROOT"], cgroupns: "private", ipc: "private" },
    ],
    ["created", { capabilities: COMMON, cgroupns: "private", ipc: "private", restart: "no", pids: 4096 }],
    ["ray", { capabilities: [], network: "host" }],
    ["registry", { capabilities: [] }],
    ["node", { mayGainRights: true, cgroupns: "private" }],
  ])("of %s is this", (kind, expected) => {
    expect(containerPolicies[kind]).toMatchObject(expected);
  });

  it("lets the machine alone share the node's kernel with more rights than Docker's default set", () => {
    for (const kind of kinds.filter((one) => one !== "node")) {
      const { capabilities, securityOptions, mayGainRights, privileged = false } = containerPolicies[kind];
      expect(capabilities.join(), kind).not.toMatch(
        /ADMIN|RAW|PTRACE|MODULE|MKNOD|SETFCAP|ALL|READ_SEARCH|SETPCAP/,
      );
      expect({ securityOptions, mayGainRights, privileged }, kind).toEqual({ privileged: false });
    }
  });

  it("lets no container but Ray's share the node's network", () => {
    expect(kinds.filter((kind) => containerPolicies[kind].network === "host")).toEqual(["ray"]);
  });

  it("gives each kind a component of its own, and logs that cannot fill a disk", () => {
    expect(new Set(kinds.map((kind) => containerPolicies[kind].component)).size).toBe(kinds.length);
    for (const kind of kinds) {
      const { driver, maxSize, maxFiles } = containerPolicies[kind].logs;
      expect(["json-file", "local"], kind).toContain(driver);
      expect(maxSize, kind).toMatch(/^(5|10)m$/);
      expect(maxFiles, kind).toBeLessThanOrEqual(3);
    }
  });
});

it("the environment begins with the word that no GPU comes by a variable", () => {
  expect(environment()).toEqual(["NVIDIA_VISIBLE_DEVICES=void"]);
  expect(environment({ B: "2", A: "1=1" })).toEqual(["NVIDIA_VISIBLE_DEVICES=void", "B=2", "A=1=1"]);
});
