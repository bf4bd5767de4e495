/**
 * daemon.json and the start of Docker, run for real by bash on a stand-in machine.
 * Proves: a restart never comes before live-restore is in force where containers run, and what is told when one ends
 * all the same; a change of registries alone is a reload; what stands in the file for which version.
 * Does not prove that a real dockerd keeps its containers: that is tried on a node, in test/e2e.
 */
import { existsSync, rmSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { RuntimeOptions } from "../../components/host/runtime";
import { runtimeMachine } from "../unit/components/host/runtime-helpers";

const asRoot = describe.runIf(process.getuid?.() === 0);
const machine = runtimeMachine();
const { at, read, write, calls, tool, offered, unit, log } = machine;

/** A dockerd whose live-restore is switched on by a reload, as moby's; containers die with one that has it off. */
function running(options: {
  live: boolean;
  reloads?: boolean;
  containers?: string[];
  backend?: string;
}): void {
  write("live", options.live ? "true" : "false");
  write("etc/docker/daemon.json", "{}");
  write("ps", (options.containers ?? []).map((id) => `${id}\n`).join(""));
  write("registries", "docker.io\n");
  tool(
    "docker",
    `case "$1 $2" in
  'ps -q') cat ${at("ps")} ;;
  'inspect -f') case $3 in *Name*) echo "/name-$4, status 137" ;; *) [ -e ${at("codes")}/$4 ] && cat ${at("codes")}/$4 ;; esac ;;
  'info -f') case $3 in
    *LiveRestore*) cat ${at("live")} ;;
    *IndexConfigs*) cat ${at("registries")} ;;
    *json*) echo '{"FirewallBackend":{"Driver":"${options.backend ?? "iptables"}"}}' ;;
  esac ;;
esac`,
  );
  unit("docker.service", { enabled: "enabled", active: true });
  write(
    "hooks/reload-docker.service",
    options.reloads === false
      ? ""
      : `echo true >${at("live")}; cp ${at("wanted")} ${at("registries")} 2>/dev/null; true`,
  );
  write(
    "hooks/restart-docker.service",
    `if ! grep -q true ${at("live")}; then : >${at("ps")}; mkdir -p ${at("codes")}; for id in ${(options.containers ?? []).join(" ") || "none"}; do echo 137 >${at("codes")}/$id; done; fi; echo true >${at("live")}`,
  );
}

asRoot("a new daemon.json", () => {
  const start = (before = "") => machine.run({ gpu: "off" }, ["start Docker"], before);
  const changed = () => write("state/pending/docker", "");
  const systemctl = () => calls().filter((call) => call.startsWith("systemctl"));

  it("is restarted for at once where nothing runs", () => {
    running({ live: false });
    changed();
    expect(start().facts).toMatchObject({ changed: ["docker.service restarted"] });
    expect(systemctl()).toEqual([
      "systemctl reset-failed docker.service",
      "systemctl restart docker.service",
    ]);
    expect(existsSync(at("state/pending/docker"))).toBe(false);
  });

  it("is reloaded first where other people's containers run, and they survive", () => {
    running({ live: false, containers: ["aaa", "bbb"] });
    changed();
    const { status, stderr } = start();
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(systemctl()).toEqual([
      "systemctl reload docker.service",
      "systemctl reset-failed docker.service",
      "systemctl restart docker.service",
    ]);
    expect(read("ps")).toBe("aaa\nbbb\n");
  });

  it("is reloaded without an operator's line that a reload refuses, and the line is there again for the restart", () => {
    running({ live: false, containers: ["aaa"] });
    const daemon = at("etc/docker/daemon.json");
    write("etc/docker/daemon.json", '{"live-restore": true, "userland-proxy": true}');
    write("hooks/reload-docker.service", `grep -q userland ${daemon} || echo true >${at("live")}`);
    write("hooks/restart-docker.service", `grep -q userland ${daemon}`);
    changed();
    expect(start().status).toBe(0);
    expect(read("etc/docker/daemon.json")).toBe('{"live-restore": true, "userland-proxy": true}');
    expect(systemctl()).toEqual([
      "systemctl reload docker.service",
      "systemctl reset-failed docker.service",
      "systemctl restart docker.service",
    ]);
  });

  it.each([
    ["is whole again after a run that was cut at the reload", undefined],
    [
      "is the operator's who has written it since such a run",
      '{"userland-proxy": true, "dns": ["10.0.0.1"]}',
    ],
  ])("%s", (_, since) => {
    running({ live: false, containers: ["aaa"] });
    const own = '{"live-restore": true,\n "userland-proxy": true, "dns": []}';
    write("etc/docker/daemon.json", own);
    write("hooks/reload-docker.service", "kill -KILL 0");
    changed();
    expect(start().status).not.toBe(0);
    expect(JSON.parse(read("etc/docker/daemon.json"))).toEqual({ "live-restore": true, dns: [] });
    if (since) write("etc/docker/daemon.json", since);
    tool("dockerd", "echo 'Docker version 20.10.24, build x'");
    expect(
      machine.run(
        { gpu: "off" },
        ["what Docker is told by others", "daemon.json"],
        'echo docker.io >"$work/docker-package"',
      ).stderr,
    ).toBe("");
    expect(JSON.parse(read("etc/docker/daemon.json"))).toMatchObject(JSON.parse(since ?? own));
    expect(existsSync(at("state/daemon-whole.json"))).toBe(false);
  });

  it("is restarted for without a reload where live-restore is in force already", () => {
    running({ live: true, containers: ["aaa"] });
    changed();
    expect(start().status).toBe(0);
    expect(systemctl()).toEqual([
      "systemctl reset-failed docker.service",
      "systemctl restart docker.service",
    ]);
  });

  it("restarts nothing when the reload does not switch live-restore on", () => {
    running({ live: false, reloads: false, containers: ["aaa"] });
    changed();
    // Time passes quickly here: the wait ends on its first look.
    const { status, stderr } = start("sleep() { SECONDS=$((SECONDS + 60)); }");
    expect(status).not.toBe(0);
    expect(stderr).toMatch(
      /the last lines of the journal[\s\S]*a restart would end them\. Nothing was restarted/,
    );
    expect(systemctl()).toEqual(["systemctl reload docker.service"]);
    expect(existsSync(at("state/pending/docker"))).toBe(true);
  });

  it("says who is lost, should a restart end one all the same", () => {
    running({ live: true, containers: ["aaa"] });
    write(
      "hooks/restart-docker.service",
      `: >${at("ps")}; mkdir -p ${at("codes")}; echo 137 >${at("codes/aaa")}`,
    );
    changed();
    const { status, stderr } = start();
    expect(status).not.toBe(0);
    expect(stderr).toContain("containers ended while dockerd was restarted: /name-aaa, status 137");
  });

  it("does not blame the restart for a container that ended by itself", () => {
    running({ live: true, containers: ["aaa"] });
    write(
      "hooks/restart-docker.service",
      `: >${at("ps")}; mkdir -p ${at("codes")}; echo 0 >${at("codes/aaa")}`,
    );
    changed();
    expect(start().status).toBe(0);
  });

  it("is only reloaded for when just its registries changed", () => {
    running({ live: true, containers: ["aaa"] });
    write("etc/docker/daemon.json", '{"insecure-registries": ["10.88.0.2:5000"]}');
    write("wanted", "docker.io\n10.88.0.2:5000\n");
    changed();
    const { facts } = start(': >"$work/reload-only"');
    expect(facts).toMatchObject({ changed: ["docker.service reloaded"] });
    expect(systemctl()).toEqual(["systemctl reload docker.service"]);
  });

  it("is restarted for when a reload of the registries is refused, since live-restore is in force", () => {
    running({ live: true, reloads: false, containers: ["aaa"] });
    write("etc/docker/daemon.json", '{"insecure-registries": ["10.88.0.2:5000"]}');
    changed();
    const { facts } = start(': >"$work/reload-only"\nsleep() { SECONDS=$((SECONDS + 60)); }');
    expect(facts).toMatchObject({ changed: ["docker.service restarted"] });
    expect(read("ps")).toBe("aaa\n");
  });

  it("is not done with while dockerd filters with nftables", () => {
    running({ live: true, backend: "nftables" });
    const { status, stderr } = start();
    expect(status).not.toBe(0);
    expect(stderr).toContain("firewall backend nftables, which has no chain DOCKER-USER");
  });

  it("shows why dockerd does not start", () => {
    running({ live: true });
    write("hooks/restart-docker.service", "exit 1");
    changed();
    expect(start().stderr).toMatch(/the last lines of the journal[\s\S]*dockerd does not start/);
    expect(existsSync(at("state/pending/docker"))).toBe(true);
  });
});

asRoot("daemon.json itself", () => {
  const options: RuntimeOptions = { gpu: "off", insecureRegistries: ["10.88.0.2:5000"] };
  const place = (more: RuntimeOptions, before = "") =>
    machine.run(
      { ...options, ...more },
      ["what Docker is told by others", "daemon.json"],
      `echo docker-ce >"$work/docker-package"\n${before}`,
    );
  const daemon = () => JSON.parse(read("etc/docker/daemon.json"));

  it("names the firewall backend to the versions that have a choice, and CDI to those that have it", () => {
    for (const [version, features, backend] of [
      ["20.10.24", undefined, undefined],
      ["26.1.5", { cdi: true }, undefined],
      ["29.3.1", { cdi: true }, "iptables"],
    ] as const) {
      tool(
        "dockerd",
        `case "$*" in --version) echo 'Docker version ${version}, build x' ;; *) record "$@" ;; esac`,
      );
      expect(place({}).status).toBe(0);
      expect(daemon().features).toEqual(features);
      expect(daemon()["firewall-backend"]).toBe(backend);
    }
    expect(calls().filter((call) => call.includes("--validate"))).toHaveLength(2);
  });

  it("is tried with the options of its unit before it is placed", () => {
    tool(
      "dockerd",
      `case "$*" in --version) echo 'Docker version 28.5.2, build x' ;; *) record "$@"; [[ $* != *--bip=bad* ]] ;; esac`,
    );
    unit("docker.service");
    write(
      "units/docker.service",
      "[Service]\nExecStart=/usr/bin/dockerd -H fd:// --bip=10.0.0.1/24 --label 'a b'\n",
    );
    expect(place({}).status).toBe(0);
    expect(calls().find((call) => call.includes("--validate"))).toMatch(
      /daemon\.json -H fd:\/\/ --bip=10\.0\.0\.1\/24 --label a b$/,
    );
    rmSync(at("etc/docker/daemon.json"));
    write("units/docker.service", "[Service]\nExecStart=/usr/bin/dockerd --bip=bad\n");
    expect(place({}).status).not.toBe(0);
    expect(existsSync(at("etc/docker/daemon.json"))).toBe(false);
  });

  it("looks at what apt would install before there is an engine", () => {
    offered("docker-ce", "5:29.3.1-1~debian.12~bookworm");
    expect(place({}).status).toBe(0);
    expect(daemon()["firewall-backend"]).toBe("iptables");
  });

  it("tells a change of registries from any other", () => {
    tool("dockerd", "echo 'Docker version 26.1.5, build x'");
    const mark = `trap 'if [ -e "$work/reload-only" ]; then echo reload; elif [ -e "$work/ours.json" ]; then echo restart; fi >>${at("how")}' EXIT`;
    place({}, mark);
    write("state/pending/docker", "");
    place({ insecureRegistries: ["10.88.0.3:5000"] }, mark);
    rmSync(at("state/pending/docker"));
    place({ insecureRegistries: ["10.88.0.4:5000"] }, mark);
    rmSync(at("state/pending/docker"));
    place({ insecureRegistries: ["10.88.0.4:5000"], avoidNetworks: ["172.24.0.0/14"] }, mark);
    expect(read("how").trim().split("\n")).toEqual(["restart", "restart", "reload", "restart"]);
    expect(log()).not.toContain("Traceback");
  });
});
