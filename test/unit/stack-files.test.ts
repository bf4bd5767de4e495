import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { checkKinds } from "../../components/stack-files";
import { loadConfig } from "../../config";
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
