import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { forgetUserKeys, placeStackFiles } from "../../../components/secrets";
import { checkKinds, userKeys } from "../../../components/stack-files";
import { loadConfig } from "../../../config";
import { KEY } from "../config/helpers";
import { localStack } from "./cluster-recorder";

const folder = mkdtempSync(join(tmpdir(), "berth-kinds-"));
const file = join(folder, "ssh.json");
afterEach(() => rmSync(file, { force: true }));
afterAll(() => rmSync(folder, { recursive: true }));

const raw = Object.entries(localStack([])).map(([k, v]) => [`berth:${k}`, JSON.stringify(v)]);
const { plan } = loadConfig("dev", Object.fromEntries(raw), () => []);

describe("a node's kind", () => {
  it("is free where no update has run", () => {
    expect(() => checkKinds(plan, folder)).not.toThrow();
  });

  it("stays what it was", () => {
    writeFileSync(file, JSON.stringify({ "node-0": { kind: "local" }, other: { kind: "digitalocean" } }));
    expect(() => checkKinds(plan, folder)).not.toThrow();
  });

  it("is refused when it changes, for every such node at once", () => {
    const was = { "node-0": { kind: "baremetal" }, "node-1": { kind: "digitalocean" } };
    writeFileSync(file, JSON.stringify(was));
    expect(() => checkKinds(plan, folder)).toThrow(
      /has 2 problems; nothing was touched[\s\S]*nodes\[0\]\.kind = "local"\n.*than "node-0" is: baremetal[\s\S]*digitalocean/,
    );
  });
});

describe("private keys that were made for users", () => {
  let home = "";
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "berth-keys-"));
    vi.stubEnv("BERTH_HOME", home);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(home, { recursive: true, force: true });
  });
  const there = () => readdirSync(join(home, "stacks", "dev")).sort();

  it("are those of users who have a workspace and no key of their own", () => {
    const at = { node: "node-0" };
    const users = [
      { ...at, name: "alice", index: 0 },
      { ...at, name: "bob", index: 1, keys: [KEY] },
      { ...at, name: "carol", index: 2, state: "stopped" },
      { ...at, name: "dave", index: 3, state: "removed" },
      { ...at, name: "erin", index: 4, state: "removed", purge: true },
    ];
    const own = Object.entries(localStack(users)).map(([k, v]) => [`berth:${k}`, JSON.stringify(v)]);
    const loaded = loadConfig("dev", Object.fromEntries(own), () => []);
    expect(Object.keys(userKeys(loaded.plan, loaded.secrets, "seed"))).toEqual(["alice", "carol"]);
  });

  it("go from this computer with their users, and nothing else does", () => {
    const kept = {
      id_ed25519: "k",
      known_hosts: "h",
      "known_hosts-node-0": "h",
      "ssh.json": "{}",
      "user-alice": "a",
    };
    const gone = { "user-bob": "b", "user-carol-2": "c", "user-alice.4711.tmp": "half" };
    placeStackFiles("dev", { ...kept, ...gone, "user.txt": "mine", "user-Bob": "mine" });
    expect(forgetUserKeys("dev", ["alice"]).sort()).toEqual(Object.keys(gone).sort());
    expect(there()).toEqual([...Object.keys(kept), "user.txt", "user-Bob"].sort());
    expect(forgetUserKeys("dev", ["alice"])).toEqual([]);
  });

  it("are nothing to forget before there are any", () => {
    expect(forgetUserKeys("never", [])).toEqual([]);
  });
});
