/**
 * The agent stage: its text, and what bash does with it on a stand-in machine.
 * Proves: the text is what was reviewed and valid; a second run changes nothing; limits alone restart nothing; a version
 * that does not come up is taken back with its files and its ledger; a run that was cut is made good by the next.
 * Does not prove that a real berthd starts under the unit: that is tried on a node, in test/e2e.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { agentInput, renderAgent } from "../../components/agent";
import { renderFolders, renderUnit } from "../../components/agent/unit";
import { StageOptionError } from "../../components/host";
import { describeScripts } from "../lib/host-scripts";
import { agentMachine, imageOf, nodeDocument } from "./agent-machine";

const asRoot = describe.runIf(process.getuid?.() === 0);
const [one, two] = ["111111111111", "222222222222"];

describe("the agent stage's script", () => {
  describeScripts({
    "for two people": renderAgent({ node: "node-0", image: imageOf(one), users: ["alice", "bob"] }),
    "for nobody": renderAgent({ node: "node-0", image: imageOf(one), users: [] }),
  });

  it("does not depend on the documents, which come on standard input in a fixed order", () => {
    expect(agentInput({ limits: { defaults: {} }, node: nodeDocument })).toBe(
      JSON.stringify({ node: nodeDocument, limits: { defaults: {} } }),
    );
  });

  it.each([
    ["berth/agent:latest", ["alice"]],
    [imageOf(one).replace("@sha256:", ":"), ["alice"]],
    [`${imageOf(one)}; reboot`, ["alice"]],
    [imageOf(one), ["alice; reboot"]],
    [imageOf(one), ["../etc"]],
  ])("refuses %s for %s", (image, users) => {
    expect(() => renderAgent({ node: "node-0", image, users })).toThrow(StageOptionError);
  });
});

describe("berthd's unit", () => {
  it("is what was reviewed", () => {
    expect(renderUnit()).toMatchSnapshot();
    expect(renderFolders(["alice"])).toMatchSnapshot();
  });

  const analyze = spawnSync("systemd-analyze", ["--version"]).status === 0;
  it(analyze ? "is taken by systemd without a complaint" : "NOT CHECKED: no systemd-analyze", (context) => {
    if (!analyze) context.skip("systemd-analyze is not installed");
    const folder = mkdtempSync(join(tmpdir(), "berth-unit-"));
    try {
      // The program is not here; what it depends on is not either.
      const text = renderUnit()
        .replace(/^ExecStart=.*$/m, "ExecStart=/bin/true")
        .replace(/^(After|Wants)=.*\n/gm, "");
      writeFileSync(join(folder, "berthd.service"), text);
      const { stderr } = spawnSync(
        "systemd-analyze",
        ["verify", "--man=no", join(folder, "berthd.service")],
        {
          encoding: "utf8",
        },
      );
      expect(stderr.split("\n").filter((line) => line.includes("berthd.service"))).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

// Each runs the whole script, some of them three times.
asRoot("the agent stage on a node", { timeout: 180_000 }, () => {
  const machine = agentMachine();
  const { at, read, write, run, versions, forget, calls, exists } = machine;
  const started = () => calls().filter((call) => call.startsWith("systemctl restart")).length;
  const pulled = () => calls().filter((call) => call.startsWith("docker pull")).length;
  const current = () => readlinkSync(at("usr/local/lib/berth/agent/current"));

  it("installs and starts, and changes nothing the second time", () => {
    const first = run(one);
    expect(first.stderr).toBe("");
    expect(first.facts).toEqual({ version: one, ready: true, problem: "", gpus: 2 });
    expect(first.changed).toEqual(
      expect.arrayContaining([`berthd ${one}`, "berthd started", "/etc/berth/agent/limits.json"]),
    );
    expect(current()).toBe(one);
    expect(JSON.parse(read("etc/berth/agent/node.json"))).toEqual(nodeDocument);
    expect(exists("run/berth/users/alice")).toBe(true);
    expect(readlinkSync(at("usr/local/bin/berth"))).toMatch(/agent\/current\/bin\/berth$/);
    expect(calls()).toContain(`docker image rm ${imageOf(one)}`);
    forget();
    const second = run(one);
    expect(second).toMatchObject({ status: 0, changed: [] });
    expect([started(), pulled()]).toEqual([0, 0]);
  });

  it("restarts nothing for other limits, once for another node document, and pulls nothing for either", () => {
    run(one);
    forget();
    const limits = { defaults: { max_mig_instances: 2 } };
    expect(run(one, { limits }).changed).toEqual(["/etc/berth/agent/limits.json"]);
    expect(started()).toBe(0);
    const node = { ...nodeDocument, strategy: "pack" as const };
    expect(run(one, { limits, node }).changed).toEqual(["/etc/berth/agent/node.json", "berthd started"]);
    expect([started(), pulled()]).toEqual([1, 0]);
  });

  it("restarts nothing for other people, and waits until they have their sockets", () => {
    run(one);
    forget();
    const bob = { name: "bob", uid: 10001, group: "default" };
    const node = { ...nodeDocument, users: [...nodeDocument.users, bob] };
    const { changed } = run(one, { node }, ["alice", "bob"]);
    expect(changed).toEqual(["/etc/berth/agent/node.json", "/etc/tmpfiles.d/berth-agent.conf"]);
    expect(started()).toBe(0);
    machine.tool("listen", "true");
    const { status, stderr } = run(one, { node }, ["alice", "bob", "carol"]);
    expect(status).not.toBe(0);
    expect(stderr).toContain("carol has no socket");
  });

  it("restarts nothing for other tenants and their tokens", () => {
    run(one);
    forget();
    const tenants = [{ name: "web-ide", tokenHash: "ab".repeat(32) }];
    expect(run(one, { node: { ...nodeDocument, tenants } }).changed).toEqual(["/etc/berth/agent/node.json"]);
    expect(started()).toBe(0);
  });

  it("places nothing that berthd's own check refuses", () => {
    run(one);
    write("refused", "limits.json: groups.student.max_cpus: -1\n");
    const { status, stderr } = run(one, { limits: { groups: {} } });
    expect(status).not.toBe(0);
    expect(stderr).toContain("groups.student.max_cpus: -1");
    expect(JSON.parse(read("etc/berth/agent/limits.json"))).toEqual({ defaults: {} });
  });

  it("puts a declared inventory there, says what stands in, and takes it away again", () => {
    run(one);
    write("usr/local/lib/berth/agent/111111111111/made", "/usr/local/bin/nvidia-smi\n");
    const gpus = { node: "node-0", gpus: [{ model: "NVIDIA H100 80GB HBM3", memoryMiB: 81559 }] };
    const { changed } = run(one, { gpus });
    expect(changed).toEqual(
      expect.arrayContaining(["/etc/berth/agent/gpus.json", "/usr/local/bin/nvidia-smi", "berthd started"]),
    );
    expect(JSON.parse(read("etc/berth/agent/gpus.json"))).toEqual(gpus);
    write("usr/local/lib/berth/agent/111111111111/made", "");
    expect(run(one).changed).toEqual(["/etc/berth/agent/gpus.json", "berthd started"]);
    expect(exists("etc/berth/agent/gpus.json")).toBe(false);
  });

  describe("with GPUs that it declares", () => {
    const gpus = { node: "node-0", gpus: [{ model: "NVIDIA H100 80GB HBM3", memoryMiB: 81559 }] };
    const other = { ...gpus, gpus: [...gpus.gpus, ...gpus.gpus] };
    const asked = () => calls().filter((call) => call.startsWith("berth ")).length;
    /** A node with them whose berthd says who holds what; its check answers as `refused` says when it is told of it. */
    function declared(says: string): void {
      run(one, { gpus });
      write(
        "usr/local/lib/berth/agent/111111111111/bin/berth",
        `#!/bin/bash\necho "berth $*" >>${at("calls")}\n${says}\n`,
      );
      write(
        "usr/local/lib/berth/agent/111111111111/bin/berthd",
        `#!/bin/bash\n[ "$#" = 1 ] || { cat -- "$2"; exit 78; } >&2\n`,
      );
      spawnSync("chmod", ["-R", "0755", at("usr/local/lib/berth/agent/111111111111/bin")]);
      forget();
    }
    const agrees = () => machine.tool("../usr/local/lib/berth/agent/111111111111/bin/berthd", "exit 0");
    const LOCK = () => at("etc/berth/mig.lock");
    const free = () => spawnSync("flock", ["-n", LOCK(), "true"]).status === 0;
    /** Nobody is given a GPU between the look and the end of the berthd that granted: it is locked, then stopped. */
    it.each<[string, NonNullable<Parameters<typeof run>[1]>]>([
      ["others come", { gpus: other }],
      ["none stay", {}],
    ])("has no moment to grant once it told who holds them: %s", (_, documents) => {
      declared(`flock -n ${LOCK()} true || echo locked >>${at("calls")}; echo '{}'`);
      agrees();
      expect(run(one, documents).changed).toContain("/etc/berth/agent/gpus.json");
      expect(exists("etc/berth/agent/gpus.json")).toBe("gpus" in documents);
      const order = calls().filter((call) => /^(locked|berth |systemctl (stop|restart))/.test(call));
      expect(order.map((call) => call.split(" ").slice(0, 2).join(" "))).toEqual([
        "berth declared",
        "locked",
        "systemctl stop",
        "systemctl restart",
      ]);
      expect(free()).toBe(true);
      expect(exists("var/lib/berth/agent-asked")).toBe(false);
    });

    it("asks an older berth by the words that it knows", () => {
      declared(`if [ "$1" = declared ]; then echo '{"error":{}}'; exit 2; fi; echo '{"old":true}'`);
      machine.tool(
        "../usr/local/lib/berth/agent/111111111111/bin/berthd",
        `case $* in *--check*) cp "\${@: -1}" ${at("told")} ;; esac`,
      );
      expect(run(one, { gpus: other }).changed).toContain("/etc/berth/agent/gpus.json");
      expect(JSON.parse(read("told"))).toEqual({ old: true });
    });

    it("goes on after a cut between the two, without asking the berthd that is down", () => {
      declared("echo '{}'");
      agrees();
      write("cut/stop", "");
      expect(run(one, { gpus: other }).status).not.toBe(0);
      expect([exists("active"), free()]).toEqual([false, true]);
      expect(JSON.parse(read("etc/berth/agent/gpus.json"))).toEqual(gpus);
      machine.tool("docker", `case $1 in ps) printf 'berth-dev-alice MIG-1\\n' ;; esac`);
      // For other GPUs than those that were asked for it goes by the containers again.
      expect(run(one, { gpus: { ...gpus, gpus: [] } }).stderr).toContain("berth-dev-alice. Start it");
      expect(run(one, { gpus: other }).changed).toEqual(
        expect.arrayContaining(["/etc/berth/agent/gpus.json", "berthd started"]),
      );
      expect(asked()).toBe(1);
    });

    it("leaves a berthd running where its files cannot be placed", () => {
      declared("echo '{}'");
      agrees();
      machine.tool("systemd-tmpfiles", "exit 1");
      expect(run(one, { gpus: other }).status).not.toBe(0);
      expect(calls().at(-1)).toBe("systemctl start berthd.service");
      expect(free()).toBe(true);
    });

    const kept = () => {
      expect(JSON.parse(read("etc/berth/agent/gpus.json"))).toEqual(gpus);
      expect(started()).toBe(0);
      expect(exists("var/lib/berth/pending/berthd")).toBe(false);
    };

    it.each<[string, Partial<Parameters<typeof run>[1]>]>([
      ["takes none away", {}],
      ["changes none", { gpus: other }],
    ])("%s that the check refuses, which is told who holds them", (_, documents) => {
      declared("echo alice holds 0:0");
      const { status, stderr } = run(one, documents);
      expect(status).not.toBe(0);
      expect(stderr).toContain("alice holds 0:0");
      expect(asked()).toBe(1);
      kept();
    });

    it("asks nobody where they stay as they are", () => {
      declared("exit 1");
      expect(run(one, { gpus })).toMatchObject({ status: 0, changed: [] });
      expect(asked()).toBe(0);
    });

    it.each([
      ["fails", "echo it is broken >&2; exit 3", "does not tell: it is broken"],
      ["says nothing", "exit 1", "does not tell: ."],
    ])("takes none away while berthd %s", (_, says, text) => {
      declared(says);
      const { status, stderr } = run(one);
      expect(status).not.toBe(0);
      expect(stderr).toContain(text);
      expect(stderr).toContain("nothing was changed");
      kept();
    });

    it("goes by the containers where berthd does not run", () => {
      declared("exit 1");
      rmSync(at("active"));
      machine.tool("docker", `case $1 in ps) printf 'berth-dev-alice MIG-1\\nother \\n' ;; esac`);
      const { status, stderr } = run(one);
      expect(status).not.toBe(0);
      expect(stderr).toContain("these containers were given some: berth-dev-alice. Start it");
      kept();
      machine.tool("docker", "true");
      expect(run(one).changed).toContain("/etc/berth/agent/gpus.json");
      expect(asked()).toBe(0);
    });
  });

  it("declares nothing beside NVIDIA's driver", () => {
    run(one);
    forget();
    write("dev/nvidiactl", "");
    const { status, stderr } = run(one, { gpus: { node: "node-0", gpus: [] } });
    expect(status).not.toBe(0);
    expect(stderr).toContain("this node has NVIDIA's driver, and its configuration declares GPUs");
    expect(started()).toBe(0);
    expect(exists("etc/berth/agent/gpus.json")).toBe(false);
  });

  it("upgrades, and keeps one version", () => {
    run(one);
    forget();
    const { changed, facts } = run(two);
    expect(facts?.version).toBe(two);
    expect(changed).toEqual(
      expect.arrayContaining([`berthd ${two}`, "berthd started", "/usr/local/lib/berth/agent/111111111111"]),
    );
    expect(versions()).toEqual([two]);
    expect([started(), pulled()]).toEqual([1, 1]);
    expect(exists("var/lib/berth/agent-before")).toBe(false);
  });

  it("goes back when the new version does not start: program, files, ledger", () => {
    run(one);
    write("broken/222222222222", "");
    const node = { ...nodeDocument, port: 9701 };
    const { status, stderr } = run(two, { node });
    expect(status).not.toBe(0);
    expect(stderr).toContain('stage agent, step "start" failed');
    expect(stderr).toContain("its last words");
    expect(stderr).toContain(`berthd ${two} does not come up`);
    expect(stderr).toContain(`The one before, ${one}, runs again with its own files and ledger`);
    expect(current()).toBe(one);
    expect(exists("active")).toBe(true);
    expect(JSON.parse(read("etc/berth/agent/node.json"))).toEqual(nodeDocument);
    expect(read("var/lib/berth/agent/ledger.db")).toBe(`ledger of ${one}\n`);
    // Asked for the version that runs: nothing is left to do but to drop the other.
    forget();
    expect(run(one).changed).toEqual(["/usr/local/lib/berth/agent/222222222222"]);
    expect(started()).toBe(0);
  });

  it("tries a mended version again after it went back", () => {
    run(one);
    write("broken/222222222222", "");
    run(two);
    rmSync(at("broken/222222222222"));
    const { status, facts } = run(two);
    expect(status).toBe(0);
    expect(facts?.version).toBe(two);
    expect(versions()).toEqual([two]);
  });

  it("goes back when the new version is not ready and the one before was; not when neither is", () => {
    run(one);
    write("unready/222222222222", "");
    const back = run(two);
    expect(back.stderr).toContain(`The one before, ${one}, runs again`);
    expect(current()).toBe(one);
    write("unready/111111111111", "");
    const { facts } = run(two);
    expect(facts).toEqual({ version: two, ready: false, problem: "no GPUs", gpus: 2 });
  });

  it("fails with the journal's words where nothing ran before, and stops it", () => {
    write("broken/111111111111", "");
    const { status, stderr } = run(one);
    expect(status).not.toBe(0);
    expect(stderr).toContain("its last words");
    expect(stderr).toContain(`berthd ${one} does not come up`);
    expect(calls().at(-1)).toBe("systemctl stop berthd.service");
    rmSync(at("broken/111111111111"));
    expect(run(one).facts?.ready).toBe(true);
  });

  it("finishes what a run that was cut began, with the way back of the one that last ran well", () => {
    run(one);
    // Cut after the switch: the mark, the saved files and the saved ledger are there, and nothing runs.
    write("broken/222222222222", "");
    machine.tool("journalctl", "kill -9 $PPID; exit 1");
    run(two);
    write("var/lib/berth/pending/berthd", "");
    machine.tool("journalctl", "echo 'its last words'");
    forget();
    const { stderr } = run(two);
    expect(stderr).toContain(`The one before, ${one}, runs again`);
    expect(current()).toBe(one);
    expect(read("var/lib/berth/agent/ledger.db")).toBe(`ledger of ${one}\n`);
  });

  it("starts one that somebody stopped", () => {
    run(one);
    rmSync(at("active"));
    expect(run(one).changed).toEqual(["berthd started"]);
  });

  it("changes nothing when the image cannot be pulled", () => {
    run(one);
    write("no-registry", "");
    forget();
    const { status, stderr } = run(two);
    expect(status).not.toBe(0);
    expect(stderr).toContain(`${imageOf(two)} cannot be pulled`);
    expect(pulled()).toBe(3);
    expect([current(), started(), exists("active")]).toEqual([one, 0, true]);
  });

  it("takes away the folder of somebody who has left", () => {
    run(one, {}, ["alice", "bob"]);
    expect(exists("run/berth/users/bob")).toBe(true);
    expect(run(one, {}, ["alice"]).changed).toContain("/run/berth/users/bob");
    expect([exists("run/berth/users/bob"), exists("run/berth/users/alice")]).toEqual([false, true]);
  });
});
