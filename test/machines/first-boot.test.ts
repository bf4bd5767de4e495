/**
 * A droplet's user data on a real first boot: cloud-init from the kernel on, with NoCloud's seed on a disk.
 *
 * Proves: the machine shows the host key that it was given and lets our key in, ends its first boot without an error or a
 * warning, is marked, and the stage `ready` takes it; it is the same after a restart, which makes nothing anew.
 * Does not prove: DigitalOcean's own image and its metadata service.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderUserData, userDataMarker } from "../../cloud-init";
import { renderReady } from "../../components/host/node-ready";
import { parseFacts } from "../../components/host/stage";
import { deriveSshKey } from "../../components/secrets/derive";
import { render } from "../../plugins/cloudinit/src/render";
import { seed as droplet } from "../fakes/digitalocean/machines/droplet";
import { makeKeys } from "../lib/ssh-machine";
import { MINUTE } from "../lib/time";
import { Machines } from "./lib/machines";
import { macOf } from "./lib/qemu";
import type { Server } from "./lib/server";
import { address6Of, addressOf } from "./lib/site";

const node = "droplet-0";
const HOST = 30;
const hostKey = deriveSshKey("a".repeat(64), node);
let machines: Machines;
let server: Server;
let sha256 = "";

/** The folder that the machine finds as a disk: user data as the program makes it, and addresses as its provider would. */
function seedDisk(folder: string, keys: string): string {
  const user = renderUserData({
    ...{ node, hostKey },
    login: { name: "root", keys: [readFileSync(join(keys, "id.pub"), "utf8").trim()] },
  });
  sha256 = user.sha256;
  const { rendered } = render({
    gzip: false,
    base64Encode: false,
    parts: user.parts.map((part) => ({ ...part })),
  });
  const disk = join(folder, "seed");
  mkdirSync(disk);
  const said = droplet({ id: 1, name: node, sshKeys: [], userData: rendered } as never);
  const network = {
    version: 2,
    ethernets: {
      eth0: {
        match: { macaddress: macOf(HOST) },
        addresses: [`${addressOf(HOST)}/24`, `${address6Of(HOST)}/64`],
        // Nobody is there; written as a network, since "default" ends this cloud-init's first stage.
        routes: [{ to: "0.0.0.0/0", via: addressOf(254) }],
      },
    },
  };
  for (const [name, text] of Object.entries({ ...said, "network-config": JSON.stringify(network) }))
    writeFileSync(join(disk, name), text);
  return disk;
}

beforeAll(async () => {
  machines = await Machines.create();
  const folder = machines.makeFolder(node);
  const keys = join(folder, "keys");
  mkdirSync(keys);
  writeFileSync(join(keys, "hostkey"), hostKey.privateKey, { mode: 0o600 });
  writeFileSync(join(keys, "hostkey.pub"), `${hostKey.publicKey}\n`);
  makeKeys(keys);
  server = await machines.withUserData(node, HOST, keys, seedDisk(folder, keys));
  await server.boot();
}, 30 * MINUTE);

afterAll(() => machines?.close(), 2 * MINUTE);

const trimmed = async (command: string) => (await server.onNode(command)).trim();

describe("a first boot with a droplet's user data", { timeout: 20 * MINUTE }, () => {
  it("ends without an error or a warning", async () => {
    const status = await trimmed("cloud-init status --wait --long");
    expect(status).toMatch(/^status: done$[\s\S]*^errors: \[\]$/m);
    expect(status).toContain("DataSourceNoCloud");
    expect(await trimmed("cloud-init schema --system")).toMatch(/Valid schema user-data/);
    const log = await trimmed("cat /var/log/cloud-init.log");
    expect(log).toContain("finish: modules-final: SUCCESS");
    expect(log.match(/^.*(WARNING|ERROR|CRITICAL|Traceback).*$/gm)).toBeNull();
  });

  it("leaves a machine that is what the user data says", async () => {
    expect(await trimmed("hostname")).toBe(node);
    expect(await trimmed(`cat ${userDataMarker}`)).toBe(sha256);
    expect(await trimmed("ls /etc/ssh/ssh_host_*_key")).toBe("/etc/ssh/ssh_host_ed25519_key");
    expect(await trimmed("sshd -T | grep -x 'passwordauthentication no'")).toBe("passwordauthentication no");
    expect(await trimmed("ip -o addr show dev eth0 scope global | awk '{print $4}' | sort")).toBe(
      [`${addressOf(HOST)}/24`, `${address6Of(HOST)}/64`].sort().join("\n"),
    );
    const { stdout, stderr } = await server.ssh(renderReady({ node }));
    expect(stderr).toBe("");
    expect(parseFacts(stdout)).toMatchObject({ os: "debian", osVersion: "13", userData: sha256 });
  });

  it("is the same machine after a restart", async () => {
    const what = `cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub ${userDataMarker}; stat -c %Y ${userDataMarker}`;
    const before = await trimmed(what);
    // Known hosts hold one key: another one would let nobody in.
    await server.reboot();
    expect(await trimmed(what)).toBe(before);
    expect(await trimmed("cloud-init status --wait")).toContain("status: done");
  });
});
