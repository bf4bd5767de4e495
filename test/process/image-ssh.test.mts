import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { start } from "../../scripts/image/child.mjs";
import { readCommand } from "../../scripts/image/cli.mjs";
import { Engine } from "../../scripts/image/engine.mjs";
import { isElsewhere } from "../../scripts/image/push.mjs";
import { askScript, dropScript, loadScript, packing, same, sendImage } from "../../scripts/image/send.mjs";
import { openTunnel } from "../../scripts/image/tunnel.mjs";
import { readSshOptions, readTarget, showTarget, sshTo } from "../../scripts/lib/ssh.mjs";
import { missing, shellcheck } from "../lib/programs.js";

let dir = "";
const path = process.env.PATH;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "berth-image-ssh-"));
});
afterEach(() => {
  process.env.PATH = path;
  rmSync(dir, { recursive: true, force: true });
});

/** A program of this name comes first on PATH. */
function standIn(name: string, script: string): void {
  writeFileSync(join(dir, name), `#!/bin/bash\n${script}\n`);
  chmodSync(join(dir, name), 0o755);
  process.env.PATH = `${dir}:${path}`;
}

describe("SSH address", () => {
  it.each([
    ["root@203.0.113.7:22", { user: "root", host: "203.0.113.7", port: 22 }],
    ["ops@head.example.org:2222", { user: "ops", host: "head.example.org", port: 2222 }],
    ["root@[2001:db8::7]:22", { user: "root", host: "2001:db8::7", port: 22 }],
    ["root@10.0.0.1", { user: "root", host: "10.0.0.1", port: 22 }],
  ])("reads %s", (text, target) => expect(readTarget(text, "--to")).toEqual(target));

  it.each([
    "10.0.0.1:22",
    "root@10.0.0.1:0",
    "root@10.0.0.1:65536",
    "root@2001:db8::7:22",
    "root@[10.0.0.1]:22",
    "root@[-oProxyCommand=x]:22",
    "-oProxyCommand=x@h:22",
    "root@-oProxyCommand=x:22",
    "root@h:22 x",
    "a@b@c:22",
    "",
  ])("refuses %j", (text) => {
    expect(() => readTarget(text, "--to")).toThrow(/^--to: ".*" is no SSH address. Allowed: USER@HOST:PORT/);
  });

  it("is shown as it is read", () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}$/);
    const host = fc.oneof(name, fc.ipV4(), fc.ipV6());
    fc.assert(
      fc.property(name, host, fc.integer({ min: 1, max: 65535 }), (user, address, port) => {
        const target = { user, host: address, port };
        expect(readTarget(showTarget(target), "--to")).toEqual(target);
      }),
    );
  });
});

describe("BERTH_SSH_OPTIONS", () => {
  const read = (words: unknown) => readSshOptions({ BERTH_SSH_OPTIONS: JSON.stringify(words) });

  it("may be absent", () => {
    expect(readSshOptions({})).toEqual([]);
    expect(readSshOptions({ BERTH_SSH_OPTIONS: "" })).toEqual([]);
  });

  it.each([
    [["-i", "/a key", "-o", "UserKnownHostsFile=/x", "-o", "StrictHostKeyChecking=yes", "-4"]],
    [["-o", "ProxyCommand=ssh -W [%h]:%p ops@jump", "-J", "ops@jump", "-F", "none"]],
    [["-oIdentitiesOnly=yes", "-o", "stricthostkeychecking TRUE", "-o", 'StrictHostKeyChecking="yes"']],
  ])("takes %j", (words) => expect(read(words)).toEqual(words));

  it.each([
    [{ a: 1 }, /it is no array of strings/],
    [["-o", 1], /it is no array of strings/],
    [["-L", "1:h:1"], /"-L" \(entry 0\) is not allowed/],
    [["-i", "/k", "root@h"], /"root@h" \(entry 2\) is not allowed/],
    [["--", "h"], /"--" \(entry 0\) is not allowed/],
    [["-i", "/k", "-o"], /a value is missing after "-o" \(entry 2\)/],
    [["-o", "="], /"=" \(entry 1\) is no Key=value/],
    [["-o", "StrictHostKeyChecking=no"], /would trust any host that answers.*UserKnownHostsFile/],
    [["-oStrictHostKeyChecking=accept-new"], /would trust any host/],
    [["-o", ' stricthostkeychecking  "off"'], /would trust any host/],
    [["-o", "StrictHostKeyChecking=ask"], /would trust any host/],
    [["-o", "NoHostAuthenticationForLocalhost=yes"], /would trust any host/],
  ])("refuses %j", (words, message) => expect(() => read(words)).toThrow(message));

  it("refuses what is no JSON", () =>
    expect(() => readSshOptions({ BERTH_SSH_OPTIONS: "-i key" })).toThrow(
      /it is no JSON.*Allowed: a JSON array/,
    ));
});

describe("arguments for ssh", () => {
  const target = readTarget("ops@[2001:db8::7]:2222", "--to");

  /** What OpenSSH itself makes of them. */
  const meant = (options: string[], forward?: string) => {
    const text = execFileSync("ssh", ["-G", "-F", "none", ...sshTo(target, options, forward)], {
      encoding: "utf8",
    });
    return (key: string) => text.split("\n").filter((line) => line.startsWith(`${key} `));
  };

  it("hold against options that say otherwise, and leave the free ones to them", () => {
    const all = meant(["-o", "ControlMaster=auto", "-o", "ControlPath=/x", "-o", "ConnectTimeout=99"]);
    expect(all("hostname")).toEqual(["hostname 2001:db8::7"]);
    expect(all("user")).toEqual(["user ops"]);
    expect(all("port")).toEqual(["port 2222"]);
    expect(all("stricthostkeychecking")).toEqual(["stricthostkeychecking true"]);
    expect(all("batchmode")).toEqual(["batchmode yes"]);
    expect(all("controlmaster")).toEqual(["controlmaster false"]);
    expect(all("controlpath")).toEqual([]);
    expect(all("connecttimeout")).toEqual(["connecttimeout 99"]);
    expect(all("serveraliveinterval")).toEqual(["serveraliveinterval 15"]);
  });

  it("forward one port, and end when that cannot be", () => {
    const all = meant([], "127.0.0.1:4000:127.0.0.1:5001");
    expect(all("localforward")).toEqual(["localforward [127.0.0.1]:4000 [127.0.0.1]:5001"]);
    expect(all("exitonforwardfailure")).toEqual(["exitonforwardfailure yes"]);
  });
});

describe("command line", () => {
  it("reads send and push --through", () => {
    expect(readCommand(["send", "ray", "--to", "root@h:22"])).toMatchObject({
      verb: "send",
      options: { to: "root@h:22" },
    });
    const through = ["push", "ray", "--through=root@h:22", "--stack", "dev"];
    expect(readCommand(through).options).toEqual({ through: "root@h:22", stack: "dev" });
    expect(readCommand([...through, "--registry", "127.0.0.1:9"]).options.registry).toBe("127.0.0.1:9");
  });

  it.each([
    [["send", "ray"], /image.mjs send: --to is missing/],
    [["send", "ray", "--to", "h"], /image.mjs send: --to: "h" is no SSH address/],
    [["send", "ray", "--to", "a@h", "--stack", "dev"], /--stack is not for this command/],
    [["push", "ray", "--through", "h", "--stack", "dev"], /image.mjs push: --through: "h" is no SSH address/],
    [["push", "ray", "--through", "a@h"], /--stack is missing/],
    [["push", "ray", "--stack", "dev"], /--registry is missing/],
    [["push", "ray", "--to", "a@h", "--registry", "h:1", "--stack", "dev"], /--to is not for this/],
    [["remove", "ray", "--from", "h"], /image.mjs remove: --from: "h" is no SSH address/],
    [["remove", "ray", "--from", "a@h", "--stack", "dev"], /one of --stack and --from/],
    [["build", "ray", "--through", "a@h"], /--through is not for this command/],
  ])("refuses %j", (argv, message) => expect(() => readCommand(argv)).toThrow(message));
});

describe("what is sent", () => {
  const scripts = [
    ["asks", askScript("berth/ray:0123456789ab")],
    ["loads", loadScript({ docker: "sudo -n docker", name: "ray", ref: "berth/ray:0123456789ab" })],
    ["drops", dropScript({ docker: "docker", name: "ray" })],
  ] as const;
  it.each(scripts)("what %s is a sound script", (_, script) => {
    execFileSync("sh", ["-n"], { input: script, stdio: "pipe" });
  });
  it.skipIf(missing("shellcheck")).each(scripts)("what %s passes shellcheck", (_, script) => {
    expect(shellcheck(script, "-s", "sh")).toBe("");
  });

  /** A docker whose engine only root may use, and what sudo makes of it. */
  const ask = (docker: string, sudo: string) => {
    standIn("docker", docker);
    standIn("sudo", sudo);
    standIn("id", "echo 1000");
    return spawnSync("sh", ["-c", askScript("berth/ray:0123456789ab")], { encoding: "utf8" });
  };
  const engine = `case "$1 $2" in "version --format") echo 26.1.5;; "image inspect") echo '{"id":"x"}';; esac`;

  it("asks the engine directly where it may", () => {
    const { stdout } = ask(engine, "exit 1");
    expect(stdout).toBe('berth-image {"docker":"docker","version":"26.1.5","image":{"id":"x"}}\n');
  });

  it("asks by sudo otherwise; no image is no error", () => {
    const { stdout } = ask(
      "echo denied >&2; exit 1",
      'case "$*" in *version*) echo 20.10.24;; *) exit 1;; esac',
    );
    expect(stdout).toBe('berth-image {"docker":"sudo -n docker","version":"20.10.24","image":null}\n');
  });

  it("says why nothing answers", () => {
    const { status, stdout, stderr } = ask(
      "echo denied >&2; exit 1",
      "echo 'a password is required' >&2; exit 1",
    );
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("a password is required");
  });

  it("loads from standard input, drops other versions' tags, and prints the id alone", () => {
    standIn(
      "docker",
      `echo "$*" >>${dir}/calls
      case "$1 $2" in
        "load --quiet") cat >${dir}/image; echo Loaded;;
        "image inspect") echo sha256:1;;
        "image ls") printf '%s\\n' berth/ray:old berth/ray:0123456789ab;;
        "image rm") echo in use >&2; exit 1;;
      esac`,
    );
    const script = loadScript({ docker: "docker", name: "ray", ref: "berth/ray:0123456789ab" });
    const { status, stdout } = spawnSync("sh", ["-c", script], { input: "bytes", encoding: "utf8" });
    expect([status, stdout]).toEqual([0, "berth-image sha256:1\n"]);
    expect(readFileSync(join(dir, "image"), "utf8")).toBe("bytes");
    expect(readFileSync(join(dir, "calls"), "utf8").match(/^image rm .*$/gm)).toEqual([
      "image rm berth/ray:old",
    ]);
  });

  it.each([
    ["error during connect: Post http: connection reset by peer", 2],
    ["write /var/lib/docker/tmp: no space left on device", 1],
  ])("is sent again when the other engine ended under it (%s)", async (words, copies) => {
    const id = `sha256:${"0".repeat(64)}`;
    standIn(
      "docker",
      `case "$1 $2 $4" in
        "version --format "*) echo 26.1.5;;
        "image inspect "*bytes*) echo '{"id":"${id}","bytes":5}';;
        "image inspect "*) echo '{"id":"${id}","created":"2026","layers":[]}';;
        save*) echo image;;
      esac`,
    );
    // The first ssh asks, the second copies, and so on.
    standIn(
      "ssh",
      `case "\${!#}" in
        *"docker load"*) cat >/dev/null; echo copy >>${dir}/copies
          if [ "$(wc -l <${dir}/copies)" = 1 ]; then echo '${words}' >&2; exit 1; fi
          echo berth-image ${id};;
        *) echo 'berth-image {"docker":"docker","version":"26.1.5","image":null}';;
      esac`,
    );
    const target = { user: "root", host: "h", port: 22 };
    const sent = sendImage(new Engine(), { name: "ray", target, sshOptions: [] });
    if (copies === 2) expect((await sent).id).toBe(id);
    else await expect(sent).rejects.toThrow(words);
    expect(readFileSync(join(dir, "copies"), "utf8")).toBe("copy\n".repeat(copies));
  });

  it("is dropped, whatever its version", () => {
    standIn(
      "docker",
      `echo "$*" >>${dir}/calls; case "$2" in ls) printf '%s\\n' berth/ray:a berth/ray:b;; esac`,
    );
    execFileSync("sh", ["-c", dropScript({ docker: "docker", name: "ray" })]);
    expect(readFileSync(join(dir, "calls"), "utf8").match(/^image rm .*$/gm)).toEqual([
      "image rm berth/ray:a",
      "image rm berth/ray:b",
    ]);
  });

  it("is packed as the engine can read it", async () => {
    const pack = async (version: string) => {
      const packer = packing(version)();
      packer.end("some bytes");
      const chunks = [];
      for await (const chunk of packer) chunks.push(chunk);
      return Buffer.concat(chunks);
    };
    expect(gunzipSync(await pack("20.10.24")).toString()).toBe("some bytes");
    expect(gunzipSync(await pack("")).toString()).toBe("some bytes");
    expect(zstdDecompressSync(await pack("26.1.5+dfsg1")).toString()).toBe("some bytes");
  });

  it("is the same image by its id, or by its layers and the time of its making", () => {
    const one = { id: "a", created: "2026", layers: ["x"] };
    expect(same(one, { ...one, layers: [] })).toBe(true);
    expect(same(one, { ...one, id: "b" })).toBe(true);
    expect(same(one, { ...one, id: "b", created: "2027" })).toBe(false);
    expect(same(one, { ...one, id: "b", layers: ["y"] })).toBe(false);
  });
});

describe("an engine's address", () => {
  it.each([
    [undefined, false],
    ["unix:///var/run/docker.sock", false],
    ["npipe:////./pipe/docker_engine", false],
    ["tcp://127.0.0.1:2375", false],
    ["tcp://[::1]:2375", false],
    ["tcp://localhost", false],
    ["tcp://127.0.0.1.example.org:2375", true],
    ["tcp://10.0.0.5:2376", true],
    ["ssh://root@head", true],
    ["ssh://root@127.0.0.1", true],
  ])("%s: on another computer %s", (host, elsewhere) => expect(isElsewhere(host)).toBe(elsewhere));
});

describe("child", () => {
  it("tells how it ended, with its last words", async () => {
    const child = start("bash", ["-c", "echo first >&2; printf last >&2; exit 3"]);
    expect(await child.ended).toEqual({
      code: 3,
      problem: "bash ended with exit code 3\n  | first\n  | last",
    });
    expect((await start("true", []).ended).problem).toBe("");
    expect((await start(join(dir, "nothing"), []).ended).problem).toMatch(/did not begin: .*ENOENT/);
  });

  it("is stopped, and its signal handlers go with it", async () => {
    const before = process.listenerCount("SIGINT");
    const child = start("sleep", ["60"]);
    expect(process.listenerCount("SIGINT")).toBe(before + 1);
    await child.stop();
    expect((await child.ended).problem).toBe("sleep was ended by SIGTERM");
    expect(process.listenerCount("SIGINT")).toBe(before);
  });
});

describe("tunnel", () => {
  const target = { user: "root", host: "h", port: 22 };
  /** An ssh that listens where -L says, and does as it is told. */
  const listen = `forward=$(printf '%s\\n' "$@" | grep -A1 -x -e -L | tail -n 1)
    exec node -e 'const s = require("node:net").createServer((c) => c.end("there")).listen(process.argv[1].split(":")[1], "127.0.0.1", () => console.log("a banner\\nberth-tunnel-is-open")); process.stdin.on("end", () => process.exit(0)).resume()' "$forward"`;

  it("is open when it says so, and gone when it is closed", async () => {
    standIn("ssh", listen);
    const one = await openTunnel(target, [], "127.0.0.1:5001");
    const two = await openTunnel(target, [], "127.0.0.1:5001");
    expect(one.port).not.toBe(two.port);
    expect(await text(one.port)).toBe("there");
    await one.close();
    expect(await text(one.port)).toMatch(/ECONNREFUSED/);
    expect(await text(two.port)).toBe("there");
    expect(two.broken()).toBe(undefined);
    await two.close();
  });

  it("takes another port when somebody was faster", async () => {
    standIn(
      "ssh",
      `if [ ! -e ${dir}/once ]; then touch ${dir}/once
        echo 'bind [127.0.0.1]:1: Address already in use' >&2; exit 255
      fi
      ${listen}`,
    );
    const tunnel = await openTunnel(target, [], "127.0.0.1:5001");
    expect(existsSync(join(dir, "once"))).toBe(true);
    expect(await text(tunnel.port)).toBe("there");
    await tunnel.close();
  });

  it("says why there is none", async () => {
    standIn("ssh", "echo 'Host key verification failed.' >&2; exit 255");
    await expect(openTunnel(target, [], "127.0.0.1:5001")).rejects.toThrow(
      "no SSH tunnel to root@h:22: ssh ended with exit code 255\n  | Host key verification failed.",
    );
  });
});

function text(port: number): Promise<string> {
  return new Promise((resolve) => {
    let all = "";
    const socket = connect(port, "127.0.0.1");
    socket.on("data", (chunk) => {
      all += String(chunk);
    });
    socket.on("error", (error) => resolve(String(error)));
    socket.on("close", () => resolve(all));
  });
}
