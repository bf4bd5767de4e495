import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  deriveSshKey,
  nodeHostKey,
  operatorKey,
  userCredentials,
  workspaceHostKey,
} from "../../../components/secrets/derive";
import { placeFile } from "../../../components/secrets/files";
import { missing } from "../../lib/programs";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-secrets-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const alice = { name: "alice", credentialsVersion: 1, keys: [] };

describe("derived secrets", () => {
  it("are the same each time", () => {
    expect(deriveSshKey("seed", "purpose")).toEqual(deriveSshKey("seed", "purpose"));
  });

  it.skipIf(missing("ssh-keygen"))("are SSH keys that OpenSSH reads", () => {
    const pair = deriveSshKey("seed", "purpose");
    const file = join(folder, "key");
    writeFileSync(file, pair.privateKey, { mode: 0o600 });
    expect(execFileSync("ssh-keygen", ["-y", "-f", file], { encoding: "utf8" }).trim()).toBe(pair.publicKey);
  });

  it("differ by seed, purpose, user and version", () => {
    const all = [
      operatorKey("a").publicKey,
      operatorKey("b").publicKey,
      nodeHostKey("a", "node-0").publicKey,
      nodeHostKey("a", "node-1").publicKey,
      workspaceHostKey("a", "alice").publicKey,
      ...Object.values(userCredentials("a", alice)),
      ...Object.values(userCredentials("a", { ...alice, name: "bob" })),
      ...Object.values(userCredentials("a", { ...alice, credentialsVersion: 2 })),
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  it("give way to a configured password and to configured keys", () => {
    const own = userCredentials("a", { ...alice, keys: ["ssh-ed25519 AAAA"] }, "my own password");
    expect(own.password).toBe("my own password");
    expect(own.sshPrivateKey).toBeUndefined();
  });

  it("are long enough and easy to type", () => {
    const { password, jupyterToken } = userCredentials("a", alice);
    expect(password).toMatch(/^[a-km-np-z2-9]{20}$/);
    expect(jupyterToken).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe("files of a stack", () => {
  it("are private and replaced whole", () => {
    const path = join(folder, "known_hosts");
    placeFile(path, "one\n");
    placeFile(path, "two\n");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(execFileSync("cat", [path], { encoding: "utf8" })).toBe("two\n");
  });
});
