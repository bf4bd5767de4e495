/**
 * Docker's packages, run for real by bash on a stand-in machine.
 * Proves: whose packages are installed, with whose key, and what is refused instead of changed; settings of others
 * that would open published ports are refused.
 * Does not prove that Docker's repository has these packages.
 */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { DockerOptions } from "../../components/host/runtime";
import { runtimeMachine } from "../unit/components/host/runtime-helpers";

const KEY = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88";
const asRoot = describe.runIf(process.getuid?.() === 0);
const machine = runtimeMachine();
const { at, read, write, calls, tool, installed, offered, unit } = machine;

const INSTALL = ["what is installed", "install Docker"];
const FROM_DOCKER = ["what is installed", "Docker's repository", "install Docker"];

/** Programs that a package brings. */
const brings = (name: string, version: string) =>
  offered(
    name,
    version,
    `for p in dockerd docker; do printf '#!/bin/bash\\nexit 0\\n' >${at("bin")}/$p; chmod 755 ${at("bin")}/$p; echo ${name} >${at("owners")}/$p; done`,
  );

function bare(): void {
  offered("python3", "3.11");
  offered("ca-certificates", "1");
  offered("gnupg", "2");
  offered("curl", "8");
  offered("iptables", "1.8");
  offered("docker-cli", "26");
  offered("containerd.io", "2.2.1-1");
  offered("docker-ce-cli", "5:29.3.1-1~debian.12~bookworm");
  brings("docker.io", "26.1.5+dfsg1-9");
  brings("docker-ce", "5:29.3.1-1~debian.12~bookworm");
  write("fingerprints", `${KEY}\n`);
  unit("docker.service");
}

/** A machine with an engine, none of whose containers runs. */
function present(name: string, version: string, containers: string[] = []): void {
  bare();
  tool("dockerd", "exit 0");
  tool("docker", `[ "$1" = ps ] && cat ${at("ps")}`);
  write("ps", containers.map((id) => `${id}\n`).join(""));
  if (name) installed(name, version, "dockerd");
}

const run = (docker: DockerOptions, names: readonly string[]) => machine.run({ gpu: "off", docker }, names);
const packages = () => machine.listed("packages");
const apt = () => calls().filter((call) => call.startsWith("apt-get") && call.includes("install"));

asRoot("the engine's source", () => {
  it("is the distribution where nothing is said, and no other repository is asked", () => {
    bare();
    const { status, stderr } = run({}, INSTALL);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(packages()).toEqual(["ca-certificates", "docker-cli", "docker.io", "iptables", "python3"]);
    expect(calls().filter((call) => call.startsWith("curl"))).toEqual([]);
  });

  it("is Docker's own repository when asked for: its key alone, its codename, the version pinned", () => {
    bare();
    write("fingerprints", `${"0".repeat(40)}\n${KEY}\n`);
    const { status, stderr } = run({ from: "docker", version: "29.3.1" }, FROM_DOCKER);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(packages()).toEqual(
      expect.arrayContaining(["containerd.io", "docker-ce", "docker-ce-cli", "iptables"]),
    );
    expect(packages()).not.toContain("docker.io");
    expect(read("etc/apt/sources.list.d/berth-docker.list")).toBe(
      `deb [arch=amd64 signed-by=${at("usr/share/keyrings/berth-docker.gpg")}] https://download.docker.com/linux/debian bookworm stable\n`,
    );
    expect(read("usr/share/keyrings/berth-docker.gpg")).toBe(`ring of ${KEY}\n`);
    expect(read("etc/apt/preferences.d/berth-docker.pref")).toContain(
      "Pin: version 5:29.3.1-*\nPin-Priority: 1001\n",
    );
    expect(run({ from: "docker", version: "29.3.1" }, FROM_DOCKER).facts).toMatchObject({ changed: [] });
  });

  it("is Ubuntu's part of it on Ubuntu", () => {
    bare();
    write("etc/os-release", 'ID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n');
    expect(run({ from: "docker" }, FROM_DOCKER).status).toBe(0);
    expect(read("etc/apt/sources.list.d/berth-docker.list")).toContain("/linux/ubuntu noble stable");
  });

  it("is refused on a system that it has no packages for", () => {
    bare();
    write("etc/os-release", "ID=alpine\n");
    expect(run({ from: "docker" }, FROM_DOCKER).stderr).toContain(
      "is for Debian and Ubuntu, and this is 'alpine'",
    );
  });

  it("is not trusted with another key, nor with Docker's as a subkey of one", () => {
    bare();
    write("fingerprints", `${"1".repeat(40)}\n`);
    const { status, stderr } = run({ from: "docker" }, FROM_DOCKER);
    expect(status).not.toBe(0);
    expect(stderr).toContain(`the key of Docker's package repository is not the known one, ${KEY}`);
    expect(packages()).not.toContain("docker-ce");
    expect(existsSync(at("etc/apt/sources.list.d/berth-docker.list"))).toBe(false);
  });

  it("is the operator's own list where one names it already", () => {
    bare();
    write("etc/apt/sources.list.d/docker.sources", "URIs: https://download.docker.com/linux/debian\n");
    expect(run({ from: "docker" }, FROM_DOCKER).status).toBe(0);
    expect(existsSync(at("etc/apt/sources.list.d/berth-docker.list"))).toBe(false);
    expect(packages()).toContain("docker-ce");
  });

  it("is refused with a version that the repository does not have, and names those it has", () => {
    bare();
    const { status, stderr } = run({ from: "docker", version: "27.0.1" }, FROM_DOCKER);
    expect(status).not.toBe(0);
    expect(stderr).toContain("has no docker-ce 27.0.1; it has 28.5.2 29.3.1");
  });

  it.each(["containerd", "runc", "podman-docker"])("is refused where apt would take %s away", (name) => {
    bare();
    installed(name, "1");
    const { status, stderr } = run({ from: "docker" }, FROM_DOCKER);
    expect(status).not.toBe(0);
    expect(stderr).toContain(`package ${name} is installed, which Docker's containerd.io would remove`);
  });
});

asRoot("an engine that is there", () => {
  it.each([
    ["docker.io", "26.1.5"],
    ["docker-ce", "5:28.5.2-1~debian.12~bookworm"],
    ["", "static"],
  ])("of package %j is kept where nothing is said", (name, version) => {
    present(name, version);
    expect(run({}, INSTALL).status).toBe(0);
    expect(apt().join()).not.toMatch(/docker/);
  });

  it.each<[string, DockerOptions["from"], string]>([
    ["docker.io", "docker", "the one here is the distribution's (package docker.io)"],
    ["docker-ce", "distribution", "the one here is Docker's own (package docker-ce)"],
    ["", "distribution", "the one here is from elsewhere"],
  ])("of package %j is not changed for one of %s", (name, from, text) => {
    present(name, "1");
    const { status, stderr } = run({ from }, INSTALL);
    expect(status).not.toBe(0);
    expect(stderr).toContain(text);
    expect(stderr).toContain("To change over by hand");
    expect(apt().join()).not.toMatch(/docker/);
  });

  it("gets another pinned version when nothing runs, and is left alone when something does", () => {
    present("docker-ce", "5:28.5.2-1~debian.12~bookworm", ["abc"]);
    const refused = run({ from: "docker", version: "29.3.1" }, FROM_DOCKER);
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toContain("asks for 29.3.1, and 1 containers run");
    expect(apt().join()).not.toMatch(/docker-ce/);
    write("ps", "");
    expect(run({ from: "docker", version: "29.3.1" }, FROM_DOCKER).facts).toMatchObject({
      changed: ["package docker-ce"],
    });
    expect(apt().at(-1)).toContain("--allow-downgrades docker-ce docker-ce-cli");
    expect(read("packages/docker-ce")).toContain("29.3.1");
  });
});

asRoot("settings of others", () => {
  const check = () => machine.run({ gpu: "off" }, ["what Docker is told by others"]);
  it.each([
    [{ iptables: false }, '"iptables": false'],
    [{ ip6tables: false }, '"ip6tables": false'],
    [{ "firewall-backend": "nftables" }, '"firewall-backend": "nftables"'],
    [
      { "userland-proxy": false },
      '"userland-proxy": false, and published ports could not be guarded: loopback of the node would be routed',
    ],
  ])("with %j are refused", (settings, text) => {
    write("etc/docker/daemon.json", JSON.stringify(settings));
    const { status, stderr } = check();
    expect(status).not.toBe(0);
    expect(stderr).toContain(text);
    expect(stderr).toMatch(/published ports.*\. Take the line out/);
  });

  it.each([{}, { iptables: true, "userland-proxy": true }, { "firewall-backend": "iptables", debug: true }])(
    "with %j are fine",
    (settings) => {
      write("etc/docker/daemon.json", JSON.stringify(settings));
      expect(check().status).toBe(0);
    },
  );

  it.each([
    "--iptables=false",
    "--ip6tables=false",
    "--firewall-backend=nftables",
    "--userland-proxy=false",
    "--log-driver=json-file",
  ])("on the command line, %s", (flag) => {
    write("etc/default/docker", `# DOCKER_OPTS="${flag}"\n`);
    expect(check().status).toBe(0);
    write("units/docker.service", `[Service]\nExecStart=/usr/sbin/dockerd -H fd:// ${flag}\n`);
    const { status, stderr } = check();
    expect(status).not.toBe(0);
    expect(stderr).toContain(`dockerd is started with ${flag}`);
  });
});
