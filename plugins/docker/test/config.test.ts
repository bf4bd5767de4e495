/** Where the engine is and how it is reached: what is taken, and that the unsafe is not. */
import { createHmac } from "node:crypto";
import { checkInputs, type Props } from "@berth/plugin-base";
import { describe, expect, it } from "vitest";
import { parseHost } from "../src/config/host";
import { knownHostLines } from "../src/config/knownhosts";
import { parseSshOptions } from "../src/config/sshopts";
import { Slots } from "../src/engine/slots";
import { parseImage, repoDigest } from "../src/image/ref";
import { dockerProvider, engineConfig, version } from "../src/index";
import { bag } from "./support";

describe("host", () => {
  it.each([
    ["unix:///var/run/docker.sock", { kind: "unix", path: "/var/run/docker.sock" }],
    ["ssh://root@10.0.0.1", { kind: "ssh", host: "10.0.0.1", user: "root" }],
    ["ssh://u@h:2222", { kind: "ssh", host: "h", user: "u", port: 2222 }],
    ["ssh://root@[fd00::1]:22", { kind: "ssh", host: "fd00::1", user: "root", port: 22 }],
    ["tcp://127.0.0.1:2375", { kind: "tcp", host: "127.0.0.1", port: 2375 }],
    ["tcp://[::1]", { kind: "tcp", host: "::1", port: 2375 }],
  ])("%s", (text, expected) => {
    expect(parseHost(text)).toEqual(expected);
  });

  it.each([
    ["tcp://10.0.0.1:2375", /only a loopback address/],
    ["tcp://127.0.0.1.evil.example:2375", /only a loopback address/],
    ["https://127.0.0.1:2376", /unknown kind/],
    ["npipe:////./pipe/docker_engine", /unknown kind/],
    ["unix://relative", /no absolute path/],
    ["ssh://", /no address|names no machine/],
    ["ssh://root@h/var/run/docker.sock", /has a path/],
    ["/var/run/docker.sock", /no address/],
  ])("%s is refused", (text, message) => {
    expect(() => parseHost(text)).toThrow(message);
  });

  it("never repeats a password", () => {
    expect(() => parseHost("ssh://root:TOPSECRET@h")).toThrow(/holds a password/);
    expect(() => parseHost("ssh://root:TOPSECRET@h")).not.toThrow(/TOPSECRET/);
  });
});

describe("sshOpts", () => {
  it("reads what Berth's program gives", () => {
    const args = [
      "-i",
      "/key",
      "-o",
      "UserKnownHostsFile=/known",
      "-o",
      "StrictHostKeyChecking=yes",
      "-o",
      "IdentitiesOnly=yes",
      "-o",
      "BatchMode=yes",
      "-o",
      "ControlMaster=auto",
      "-o",
      "ControlPath=/tmp/%C",
      "-o",
      "ControlPersist=60",
      "-o",
      "ConnectTimeout=7",
      "-o",
      "ServerAliveInterval=5",
    ];
    expect(parseSshOptions(args)).toEqual({
      identityFile: "/key",
      knownHostsFiles: ["/known"],
      identitiesOnly: true,
      connectTimeout: 7,
    });
  });

  it.each([
    [["-i/key"]],
    [["-i /key"]],
    [["-o", "IdentityFile /key"]],
    [["-oIdentityFile=/key"]],
    [["-o IdentityFile = /key"]],
  ])("%j", (args) => {
    expect(parseSshOptions(args).identityFile).toBe("/key");
  });

  it.each([
    [["-o", "StrictHostKeyChecking=no"], /is refused/],
    [["-o", "StrictHostKeyChecking=accept-new"], /is refused/],
    [["-o", "ProxyJump=bastion"], /ProxyJump is not known here; known: -i KEY/],
    [["-J", "bastion"], /"-J" is not known/],
    [["bastion"], /"bastion" is not known/],
    [["-i"], /lacks its value/],
    [["-p", "x"], /whole number/],
    [["-o", "nonsense"], /Name=value/],
  ])("%j is refused", (args, message) => {
    expect(() => parseSshOptions(args)).toThrow(message);
  });
});

describe("ProxyCommand", () => {
  const hop = "-o UserKnownHostsFile=/known -o StrictHostKeyChecking=yes";
  const jump = (command: string) => parseSshOptions(["-o", `ProxyCommand=${command}`]).jump;

  it("reads the one form that names a jump host", () => {
    const command = `ssh -F none -i /key ${hop} -o IdentitiesOnly=yes -l ops -p 2222 -W '[%h]:%p' bastion.example`;
    expect(jump(command)).toEqual({
      host: "bastion.example",
      options: {
        identityFile: "/key",
        knownHostsFiles: ["/known"],
        identitiesOnly: true,
        user: "ops",
        port: 2222,
      },
    });
    expect(jump("none")).toBeUndefined();
  });

  it.each([
    [`ssh -F none ${hop} -W [%h]:%p ops@10.0.0.1`, "10.0.0.1", "ops"],
    [`ssh -F none ${hop} -W '[%h]:%p' ops@[2001:db8::1]`, "2001:db8::1", "ops"],
    [`ssh -F none ${hop} -W '[%h]:%p' 2001:db8::1`, "2001:db8::1", undefined],
  ])("%s", (command, host, user) => {
    expect(jump(command)).toMatchObject({ host });
    expect(jump(command)?.options.user).toBe(user);
  });

  it.each([
    ["nc %h %p", /runs "nc", and only ssh/],
    [`/usr/bin/ssh -F none ${hop} -W '[%h]:%p' b`, /only ssh/],
    [`ssh ${hop} -W '[%h]:%p' b`, /lacks -F none/],
    [`ssh -F /etc/other ${hop} -W '[%h]:%p' b`, /lacks -F none/],
    [`ssh -F none ${hop} -W 'elsewhere:22' b`, /leads somewhere else/],
    [`ssh -F none ${hop} b`, /leads somewhere else/],
    [`ssh -F none ${hop} -W '[%h]:%p' -p`, /names no host/],
    [`ssh -F none ${hop} -i /keys/%r -W '[%h]:%p' b`, /token of its own/],
    [`ssh -F none ${hop} -W '[%h]:%p' b; rm -rf /`, /only a shell could read, b;/],
    [`ssh -F none ${hop} -i "/my key" -W '[%h]:%p' b`, /only a shell could read/],
    [`ssh -F none -J x ${hop} -W '[%h]:%p' b`, /"-J" is not known.*stands in ProxyCommand/],
    [`ssh -F none -o StrictHostKeyChecking=no -W '[%h]:%p' b`, /is refused.*stands in ProxyCommand/],
  ])("%s is refused", (command, message) => {
    expect(() => jump(command)).toThrow(message);
  });
});

describe("known hosts", () => {
  const key = "ssh-ed25519 AAAA";
  const hashed = (name: string) => {
    const salt = Buffer.from("0123456789abcdef0123");
    return `|1|${salt.toString("base64")}|${createHmac("sha1", salt).update(name).digest("base64")}`;
  };
  it.each([
    [`10.0.0.1 ${key}`, "10.0.0.1", 22, true],
    [`a,10.0.0.1 ${key}`, "10.0.0.1", 22, true],
    [`10.0.0.1 ${key}`, "10.0.0.1", 2222, false],
    [`[10.0.0.1]:2222 ${key}`, "10.0.0.1", 2222, true],
    [`[10.0.0.1]:2222 ${key}`, "10.0.0.1", 22, false],
    [`10.0.0.10 ${key}`, "10.0.0.1", 22, false],
    [`10.0.0.? ${key}`, "10.0.0.1", 22, true],
    [`*.example ${key}`, "a.example", 22, true],
    [`*.example,!b.example ${key}`, "b.example", 22, false],
    [`10x0.0.1 ${key}`, "10.0.0.1", 22, false],
    [`${hashed("10.0.0.1")} ${key}`, "10.0.0.1", 22, true],
    [`${hashed("10.0.0.1")} ${key}`, "10.0.0.2", 22, false],
    [`@revoked 10.0.0.1 ${key}`, "10.0.0.1", 22, true],
    [`@cert-authority 10.0.0.1 ${key}`, "10.0.0.1", 22, false],
    [`# 10.0.0.1 ${key}`, "10.0.0.1", 22, false],
    [`HOST ${key}`, "host", 22, true],
  ])("%s for %s port %d: %s", (line, host, port, found) => {
    expect(knownHostLines(`other ${key}\n${line}\n`, host, port)).toBe(found ? line : "");
  });
});

describe("image names", () => {
  it.each([
    ["busybox", { repository: "busybox" }],
    ["busybox:1", { repository: "busybox", tag: "1" }],
    ["10.88.0.2:5000/berth/ray@sha256:abc", { repository: "10.88.0.2:5000/berth/ray", digest: "sha256:abc" }],
    ["localhost/x:2@sha256:abc", { repository: "localhost/x", tag: "2", digest: "sha256:abc" }],
    ["user/x", { repository: "user/x" }],
  ])("%s", (name, expected) => {
    expect(parseImage(name)).toEqual(expected);
  });

  it("finds the digest of the registry that was asked, not of one whose name begins alike", () => {
    const digests = ["a.example/x-y@sha256:1", "a.example/x@sha256:2"];
    expect(repoDigest("a.example/x:1", digests)).toBe("a.example/x@sha256:2");
    expect(repoDigest("b.example/x:1", digests)).toBe("a.example/x-y@sha256:1");
    expect(repoDigest("x", [])).toBe("");
  });
});

describe("engineConfig", () => {
  it("takes host, then DOCKER_HOST, then the socket", () => {
    expect(engineConfig(bag({ host: "unix:///a" }), { DOCKER_HOST: "unix:///b" }).host).toBe("unix:///a");
    expect(engineConfig(bag({}), { DOCKER_HOST: "unix:///b" }).host).toBe("unix:///b");
    expect(engineConfig(bag({}), {}).host).toBe("unix:///var/run/docker.sock");
  });

  it("refuses sign-ins, with the way out", () => {
    const registryAuth: Props[] = [{ address: "https://r:5001", username: "u", password: "p" }];
    const { failures } = checkInputs("docker", dockerProvider().config ?? {}, { registryAuth });
    expect(failures).toEqual([
      {
        property: "registryAuth",
        reason: expect.stringMatching(/not supported here.*the official docker plugin/),
      },
    ]);
  });

  it("has the version of the SDK package", async () => {
    const { default: sdk } = await import("@pulumi/docker/package.json", { with: { type: "json" } });
    expect(version).toBe(sdk.version);
    expect(dockerProvider().version).toBe(sdk.version);
  });
});

describe("Slots", () => {
  it("lets so many work at once, in turn, and frees the place of one that fails or gives up", async () => {
    const slots = new Slots(2);
    let now = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setImmediate(resolve));
      now--;
    };
    const gaveUp = new AbortController();
    const jobs = [
      slots.run(undefined, work),
      slots.run(undefined, async () => {
        await work();
        throw new Error("no");
      }),
      slots.run(gaveUp.signal, work),
      ...Array.from({ length: 20 }, () => slots.run(undefined, work)),
    ];
    gaveUp.abort(new Error("gave up"));
    const ended = await Promise.allSettled(jobs);
    expect(most).toBe(2);
    expect(ended.filter(({ status }) => status === "rejected")).toHaveLength(2);
    await slots.run(undefined, work);
    expect(now).toBe(0);
  });
});
