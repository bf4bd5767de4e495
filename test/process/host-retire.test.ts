/** The script with which a server leaves the stack, and what becomes of its daemon.json. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AGENT } from "../../components/agent";
import { LINKS } from "../../components/agent/options";
import { renderFolders } from "../../components/agent/unit";
import { renderRetire } from "../../components/host/retire";
import { RECORD, readerLibrary, recordedSysctls } from "../../components/host/retire/before";
import { RESTORE, WITH } from "../../components/host/retire/docker";
import { daemonConfig, MERGE } from "../../components/host/runtime";
import { StageOptionError } from "../../components/host/shell";
import { renderStage, stageBody } from "../../components/host/stage";
import { describeScripts, standIns } from "../lib/host-scripts";

const plain = renderRetire({ node: "gpu-1", stack: "lab" });
describeScripts({
  "retire, plain": plain,
  "retire, with storage": renderRetire({
    node: "gpu-1",
    stack: "lab",
    sshPort: 2222,
    storage: {
      root: "/big",
      directories: ["/scratch"],
      devices: [{ match: { serial: "S4EVNX0R" }, mount: "/big/homes" }],
      nfs: { mounts: [{ from: "nas:/data", mount: "/nas" }] },
      bind: { shared: "/nas/shared" },
    },
  }),
});

let folder: string;
const { at, read } = standIns(() => folder);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-retire-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("berthd", () => {
  const script = stageBody(plain);
  it("goes with what is under its own names, and with what is not", () => {
    // By their beginnings, or with the whole folder.
    expect(AGENT.unit).toMatch(/^\/etc\/systemd\/system\/berth/);
    expect(script).toContain("for file in /etc/systemd/system/berth*; do");
    for (const path of [AGENT.config, AGENT.programs, AGENT.socket, AGENT.sockets])
      expect(
        ["/etc/berth/", "/usr/local/lib/berth/", "/run/berth/"].some((folder) => path.startsWith(folder)),
      ).toBe(true);
    expect(script).toContain("for path in /etc/berth /usr/local/lib/berth /run/berth /var/cache/berth; do");
    for (const path of Object.keys(LINKS)) expect(script).toContain(`${dirname(path)}/*`);
    for (const path of [AGENT.folders, "/etc/cdi/berth-declared.json"])
      expect(script).toContain(`unplace ${path}\n`);
    expect(renderFolders(["alice"])).not.toMatch(/^d (?!\/run\/berth)/m);
  });

  it("is stopped before its containers and slices go, and NVIDIA's own nvidia-smi stays", () => {
    const order = ["systemctl stop berthd.service", "docker rm -f", "systemctl disable -q --now"].map(
      (text) => script.indexOf(text),
    );
    expect(order[0]).toBeGreaterThan(0);
    expect(order).toEqual([...order].sort((a, b) => a - b));
    const fake = readFileSync("agent/src/inventory/fake.ts", "utf8");
    const mark = /^const MARK = "# (.*)";$/m.exec(fake)?.[1];
    expect(mark).toBeDefined();
    expect(script).toContain(`grep -q -s -F -e '${mark}' /usr/local/bin/nvidia-smi`);
  });
});

describe("the order", () => {
  it("closes the firewall last of all that can be reached, and removes records and logs at the very end", () => {
    const names = [...stageBody(plain).matchAll(/^step '?([^'\n]+?)'? \d+ step_\d+$/gm)].map(
      (match) => match[1],
    );
    expect(names).toEqual([
      "containers of Berth",
      "services of Berth",
      "devices",
      "mounts",
      "NFS exports",
      "quotas of homes",
      "bound directories",
      "unmount what is no longer asked for",
      "guard of what people write",
      "InfiniBand",
      "Docker",
      "NVIDIA",
      "firewall",
      "settings",
      "account of git",
      "what stays",
      "state and logs",
    ]);
  });

  it("unmounts what containers had below their packages before it removes the folder of that", () => {
    const script = stageBody(plain);
    const order = ["/packages/containers/*/node_modules; do", "umount --lazy", 'rm -rf -- "$state"'].map(
      (text) => script.indexOf(text),
    );
    expect(order[0]).toBeGreaterThan(0);
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  it("removes no directory but an empty one", () => {
    const removals = stageBody(plain)
      .split("\n")
      .filter((line) => /\brm -[a-z]*r/.test(line));
    // The stage's own work folder, drop-in folders of its units, its own three folders, state and logs.
    expect(removals.map((line) => line.trim())).toEqual([
      'if [ -n "$work" ]; then rm -rf -- "$work"; fi',
      '*.d) rm -rf -- "$file" ;;',
      'rm -rf -- "$path"',
      'rm -rf -- "$state" "$logs"',
    ]);
    expect(stageBody(plain)).toContain(
      "for path in /etc/berth /usr/local/lib/berth /run/berth /var/cache/berth; do",
    );
  });

  it.each([
    [{ stack: "a b" }, /retire\.stack/],
    [{ sshPort: 0 }, /retire\.sshPort/],
    [{ storage: { root: "big" } }, /storage\.root/],
    [{ storage: { directories: ["/a/../b"] } }, /storage\.directories/],
  ])("%j is refused", (more, message) => {
    expect(() => renderRetire({ node: "gpu-1", stack: "lab", ...more })).toThrow(StageOptionError);
    expect(() => renderRetire({ node: "gpu-1", stack: "lab", ...more })).toThrow(message);
  });
});

describe("daemon.json", () => {
  const python = (program: string, args: string[], input: string, env: Record<string, string> = {}) => {
    const ran = spawnSync("python3", ["-c", program, ...args], {
      input,
      encoding: "utf8",
      env: { ...process.env, ...env },
    });
    if (ran.status !== 0) throw new Error(ran.stderr);
    return ran.stdout;
  };
  /** The file through Berth's life: merged once (and again), edited by the operator, taken back. */
  const life = (text: string | undefined, edit: (now: Record<string, unknown>) => void = () => {}) => {
    if (text !== undefined) writeFileSync(at("now"), text);
    const env = { OURS: at("last") };
    for (let i = 0; i < 2; i++) {
      const given = JSON.stringify(daemonConfig({ insecureRegistries: [`10.0.0.${i + 2}:5000`] }));
      writeFileSync(at("now"), python(MERGE, [at("now"), at("last"), "yes"], given, env));
    }
    const now = JSON.parse(read("now"));
    edit(now);
    writeFileSync(at("now"), JSON.stringify(now));
    writeFileSync(at("before"), text ?? "");
    writeFileSync(at("merged"), python(MERGE, [at("now"), at("last"), "no"], "{}", { OURS: at("none") }));
    return python(RESTORE, [at("merged"), at("before"), at("last")], "");
  };

  it("is gone where there was none", () => {
    expect(life(undefined)).toBe("");
    expect(life("{}")).toBe("{}");
  });

  it("is the operator's own text again, to the byte", () => {
    const text = `{ "exec-opts": ["native.cgroupdriver=systemd"], "log-driver": "journald",
      "log-opts": {"tag": "{{.Name}}"}, "live-restore": false, "features": {"buildkit": true, "cdi": false},
      "insecure-registries": ["own:1"], "default-address-pools": [{"base": "10.5.0.0/16", "size": 24}], "dns": ["1.1.1.1"] }`;
    expect(life(text)).toBe(text);
    for (const name of ["now", "last", "none"]) rmSync(at(name), { force: true });
    expect(life(`\uFEFF${text}`)).toBe(`\uFEFF${text}`);
  });

  it.each<[string, boolean, BufferEncoding]>([
    ['{"live-restore": true}', true, "utf8"],
    ['\uFEFF{"live-restore": true}', true, "utf8"],
    ['\uFEFF{"live-restore": true}', true, "utf16le"],
    ['\uFEFF{"live-restore": false}', false, "utf16le"],
    ["\uFEFF{}", false, "utf16le"],
    ["", false, "utf8"],
  ])("%j is asked for live-restore as dockerd reads it: %s, %s", (text, on, encoding) => {
    writeFileSync(at("decided"), Buffer.from(text, encoding));
    const ran = spawnSync("python3", ["-c", WITH, at("decided"), "live"], { encoding: "utf8" });
    expect(ran.stderr).toBe("");
    expect(ran.status).toBe(on ? 0 : 1);
  });

  it("keeps what the operator changed meanwhile", () => {
    const result = life('{"log-driver": "journald", "labels": ["a=1"]}', (now) => {
      now["log-driver"] = "syslog";
      now.labels = ["a=2"];
      (now["insecure-registries"] as string[]).push("own:1");
      now.dns = ["1.1.1.1"];
    });
    expect(JSON.parse(result)).toEqual({
      "log-driver": "syslog",
      labels: ["a=2"],
      "insecure-registries": ["own:1"],
      dns: ["1.1.1.1"],
    });
  });

  it("is always what it was, whatever stood in it", () => {
    const word = fc.string({ unit: fc.constantFrom("a", "b", ":", "="), minLength: 1, maxLength: 4 });
    const record = fc.record(
      {
        "log-driver": word,
        "log-opts": fc.dictionary(word, word, { maxKeys: 2 }),
        "exec-opts": fc.constantFrom(
          ["native.cgroupdriver=systemd"],
          ["x=1", "native.cgroupdriver=cgroupfs"],
          [],
        ),
        "live-restore": fc.boolean(),
        features: fc.dictionary(fc.constantFrom("cdi", "buildkit"), fc.boolean()),
        "insecure-registries": fc.uniqueArray(word, { maxLength: 3 }),
        "default-address-pools": fc.constantFrom([], [{ base: "10.5.0.0/16", size: 24 }]),
        dns: fc.array(word, { maxLength: 2 }),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(record, (own) => {
        for (const name of ["now", "last", "none"]) rmSync(at(name), { force: true });
        const text = JSON.stringify(own);
        expect(JSON.parse(life(text) || "{}")).toEqual(own);
      }),
      { numRuns: 8 },
    );
  }, 60_000);
});

describe("the record of what was before", () => {
  const run = (body: string) => {
    const command = renderStage({
      name: "preflight",
      node: "gpu-1",
      paths: { logs: at("log"), state: at("state"), lock: at("lock") },
      steps: [
        {
          name: "record",
          body: `stack=lab\nprintf inactive >"$work/ufw"\nprintf '/data\\n/srv/a b\\n' >"$work/existing"\n${readerLibrary}\n${body}`,
        },
      ],
    });
    const ran = spawnSync("sh", ["-c", command], { encoding: "utf8" });
    expect(ran.stderr).toBe("");
    return ran.stdout;
  };

  it("is JSON, for people; and read back by bash", () => {
    expect(run(RECORD)).toContain('"before":"recorded"');
    const record = JSON.parse(read("state/before.json")) as Record<string, string>;
    expect(record).toMatchObject({ version: "1", stack: "lab", ufw: "inactive", end: "" });
    expect(Object.keys(record).filter((key) => key.startsWith("sysctl."))).toEqual(
      recordedSysctls.map((name) => `sysctl.${name}`),
    );
    expect(Buffer.from(record.directories ?? "", "base64").toString()).toBe("/data\n/srv/a b\n");
    expect(
      run('fact ufw "$(before ufw)"\nfact none "$(before nothing)"\nfact dirs "$(before_file directories)"'),
    ).toContain('"ufw":"inactive","none":"","dirs":"/data /srv/a b"');
  });

  it("is kept as soon as Berth is there, and none is made up then", () => {
    const first = run(RECORD) && read("state/before.json");
    expect(run(RECORD)).toContain('"changed":[]');
    // The operator went on working before the first update.
    expect(run(RECORD.replace("unit ufw.service", "printf masked"))).toContain("before.json");
    writeFileSync(at("state/daemon.json"), "{}");
    const kept = read("state/before.json");
    expect(kept).not.toBe(first);
    expect(run(RECORD)).toMatch(/"before":"recorded",.*"changed":\[\]/);
    expect(read("state/before.json")).toBe(kept);
    rmSync(at("state/before.json"));
    expect(run(RECORD)).toContain('"before":"unknown"');
    expect(() => read("state/before.json")).toThrow();
  });
});
