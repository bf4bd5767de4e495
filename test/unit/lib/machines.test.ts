/** What the tests on virtual machines stand on, without a machine: QEMU's protocol, and what a server is told. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { missing } from "../../lib/programs";
import { makeKeys } from "../../lib/ssh-machine";
import { qemuWords } from "../../machines/lib/qemu";
import { Qmp } from "../../machines/lib/qmp";
import { seedFiles, writeSeed } from "../../machines/lib/seed";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-machines-unit-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("QEMU's protocol", () => {
  let server: Server;
  let client: Socket;
  let answer: (execute: string, args: Record<string, string>) => object | undefined;

  beforeEach(async () => {
    answer = () => ({ return: {} });
    server = createServer((socket) => {
      client = socket;
      socket.write('{"QMP": {"version": {}}}\r\n');
      socket.on("data", (data) => {
        const calls = String(data).trim().split("\n");
        const said = calls.map((line) => {
          const { execute, arguments: args } = JSON.parse(line);
          return answer(execute, args);
        });
        if (said.includes(undefined)) return socket.destroy();
        // An event may come between a question and its answer, and an answer in pieces.
        const event = '{"event": "RTC_CHANGE", "data": {}}\r\n';
        const text = said.map((one) => `${event}${JSON.stringify(one)}\r\n`).join("");
        socket.write(text.slice(0, -9));
        return setTimeout(() => socket.write(text.slice(-9)), 5);
      });
    });
    await new Promise<void>((resolve) => server.listen(join(folder, "qmp"), resolve));
  });
  afterEach(() => {
    client?.destroy();
    server.close();
  });

  it("gives each call its own answer, whatever QEMU tells meanwhile", async () => {
    const qmp = await Qmp.connect(join(folder, "qmp"));
    answer = (execute) => ({ return: execute });
    const calls = ["one", "two", "three"];
    expect(await Promise.all(calls.map((name) => qmp.call(name)))).toEqual(calls);
    qmp.close();
  });

  it("says what QEMU says is wrong, by name and by the monitor for people", async () => {
    const qmp = await Qmp.connect(join(folder, "qmp"));
    answer = () => ({ error: { class: "GenericError", desc: "no such disk" } });
    await expect(qmp.call("device_add")).rejects.toThrow("QEMU, device_add: no such disk");
    answer = (_, args) => ({ return: args["command-line"] === "savevm ready" ? "" : "unknown command\r\n" });
    await qmp.monitor("savevm ready");
    await expect(qmp.monitor("saveit")).rejects.toThrow("QEMU, saveit: unknown command");
    qmp.close();
  });

  it("does not wait for a QEMU that has ended", async () => {
    const qmp = await Qmp.connect(join(folder, "qmp"));
    answer = () => undefined;
    await expect(qmp.call("quit")).rejects.toThrow("QEMU has ended");
    await expect(qmp.call("device_add")).rejects.toThrow("QEMU, device_add: QEMU has ended");
  });
});

describe("what QEMU is called with", () => {
  const hardware = {
    folder: "/f",
    disk: "/f/disk",
    kernel: "/k",
    initrd: "/i",
    host: 17,
    kernelWords: ["one"],
  };
  const words = (change: object = {}, more: object = {}) =>
    qemuWords({ ...hardware, ...change }, { tap: "tap0", disks: [], ...more });

  it("opens no port: its screen is off, it is talked to by a file, and its network is one that it is given", () => {
    const all = words({}, { disks: [{ serial: "LVM-0", file: "/f/lvm" }], snapshot: "ready" }).join(" ");
    expect(all).toContain("-display none");
    expect(all).toContain("-qmp unix:/f/qmp,");
    expect(all).toContain("-netdev tap,id=net,ifname=tap0,script=no");
    expect(all).not.toMatch(/tcp|udp|telnet|vnc|spice|hostfwd|gdb|-netdev user/);
  });

  it("says what a saved machine is: another machine has other words", () => {
    const one = JSON.stringify(words());
    for (const change of [{ host: 18 }, { kernelWords: [] }, { seed: "/s" }, { userData: "/u" }])
      expect(JSON.stringify(words(change))).not.toBe(one);
    expect(JSON.stringify(words({}, { disks: [{ serial: "A", file: "/a" }] }))).not.toBe(one);
  });
});

describe.skipIf(missing("ssh-keygen"))("what a server is told", () => {
  it("is its own, with modes that sshd takes, and without folders", async () => {
    makeKeys(folder);
    const files = seedFiles("metal-7", 17, folder);
    expect(files["etc/hostname"]?.text).toBe("metal-7\n");
    expect(files["etc/systemd/network/20-machine.network"]?.text).toBe(
      "[Match]\nMACAddress=52:54:00:98:00:11\n\n[Network]\nAddress=10.98.0.17/24\nAddress=fd00:98::17/64\nGateway=10.98.0.254\n",
    );
    const tar = join(folder, "seed.tar");
    await writeSeed(files, tar);
    const listed = spawnSync("tar", ["-tvf", tar, "--numeric-owner"], { encoding: "utf8" })
      .stdout.trim()
      .split("\n");
    expect(listed).toHaveLength(Object.keys(files).length);
    for (const line of listed) expect(line).toMatch(/^-rw-(r--r--|------) 0\/0 /);
    const secret = listed
      .filter((line) => line.startsWith("-rw-------"))
      .map((line) => line.split(" ").at(-1));
    expect(secret.sort()).toEqual(["etc/ssh/ssh_host_ed25519_key", "root/.ssh/authorized_keys"]);
    expect(readFileSync(tar).includes(readFileSync(join(folder, "hostkey.pub")))).toBe(true);
  });

  it("has keys that are made once", () => {
    makeKeys(folder);
    const before = ["id", "hostkey"].map((name) => readFileSync(join(folder, name), "utf8"));
    makeKeys(folder);
    expect(["id", "hostkey"].map((name) => readFileSync(join(folder, name), "utf8"))).toEqual(before);
    expect(statSync(join(folder, "id")).mode & 0o077).toBe(0);
  });
});
