/**
 * The host stages' scripts, rendered.
 * Proves: their text is what was reviewed (snapshots), is valid bash that shellcheck accepts, and no value from
 * configuration can be anything but a value. That they work is proved on a node, in test/e2e.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  daemonConfig,
  heredoc,
  quote,
  renderBase,
  renderFirewall,
  renderHostKey,
  renderReady,
  renderRuntime,
  renderStorage,
  StageOptionError,
  stageBody,
} from "../../components/host";
import { dockerPool, mergeRanges, parseNetwork, portGroups } from "../../components/host/networks";
import { MERGE } from "../../components/host/runtime";
import { networksOverlap } from "../../core/net";
import { describeScripts } from "../lib/host-scripts";

const node = "node-0";
const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFx7Ei5m1vHnY7xUqf1n2m0wqzQJ7z0yVYd1kMhDl3aB op@example";
const firewall = {
  node,
  allowSsh: ["10.88.0.0/24", "fd00::/8"],
  allowUsers: ["10.88.0.0/24", "2001:db8::/32"],
  userPorts: [{ start: 10000, end: 19999 }],
  clusterAddresses: ["10.88.0.10", "10.88.0.11"],
  clusterPorts: [
    { start: 6379, end: 6379 },
    { start: 31000, end: 31999 },
    { start: 30001, end: 30007 },
  ],
};
const scripts = {
  "ready, plain": renderReady({ node }),
  "host key": renderHostKey({ node, publicKey: key.split(" ").slice(0, 2).join(" ") }),
  "base, plain": renderBase({ node }),
  "base, with the container manager": renderBase({ node, manager: true }),
  "firewall, plain": renderFirewall(firewall),
  "firewall, with rules": renderFirewall({
    ...firewall,
    sshPort: 2222,
    rayUid: 10001,
    rules: [
      { port: 8080, protocol: "udp", from: ["192.0.2.0/24"] },
      { port: { start: 20000, end: 29999 }, protocol: "udp", from: ["192.0.2.0/24"], published: true },
    ],
  }),
  "storage, plain": renderStorage({ node }),
  "storage, elsewhere": renderStorage({ node, root: "/srv/it's here", directories: [] }),
  "runtime, plain": renderRuntime({ node }),
  "runtime, all options": renderRuntime({
    node,
    gpu: "off",
    avoidNetworks: ["172.24.0.0/16"],
    insecureRegistries: ["10.88.0.2:5000"],
  }),
};

describeScripts(scripts);

/** What bash makes of a script's words, one per array element. */
function words(script: string): string[] {
  const out = execFileSync("bash", ["--norc", "-c", `printf '%s\\0' ${script}`], {
    encoding: "utf8",
    env: { A: "expanded" },
  });
  return out.split("\0").slice(0, -1);
}

/** Text that shells like to misread, and any other. */
const nasty = fc.oneof(
  fc.constantFrom(
    "$(touch x)",
    "`id`",
    "a'b",
    '"',
    "\\",
    "$A",
    "-rf",
    "a b",
    "!",
    "*",
    "~",
    "",
    "é'\\''x",
    "#",
  ),
  fc.string({ unit: "grapheme" }),
);

describe("quoting", () => {
  it("gives back any text without control characters as one word, and refuses the others", () => {
    fc.assert(
      fc.property(nasty, (text) => {
        let quoted: string;
        try {
          quoted = quote(text);
        } catch (error) {
          expect(error).toBeInstanceOf(StageOptionError);
          // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused
          expect(text).toMatch(/[\u0000-\u001f\u007f]/);
          return;
        }
        expect(words(quoted)).toEqual([text]);
      }),
      { numRuns: 150 },
    );
  });

  it("gives back any text through a here-document, its own mark included", () => {
    const lines = fc.array(fc.oneof(nasty, fc.constantFrom("BERTH_FILE", "BERTH_FILE_1", "EOF")), {
      maxLength: 5,
    });
    fc.assert(
      fc.property(lines, (parts) => {
        const text = parts.join("\n").replaceAll("\0", "");
        const got = execFileSync("bash", ["--norc", "-c", `cat ${heredoc(text)}`], { encoding: "utf8" });
        expect(got).toBe(text === "" || text.endsWith("\n") ? text : `${text}\n`);
      }),
      { numRuns: 150 },
    );
  });

  it("lets no hostile option into a script: refused, or an inert word", () => {
    const hostile = fc
      .tuple(fc.constantFrom("'", "$(touch /pwned)", "\n", "`", '"', ";", " ", "\\"), nasty)
      .map(([mark, rest]) => mark + rest);
    const refused = (render: () => string) => expect(render).toThrow(StageOptionError);
    fc.assert(
      fc.property(hostile, (text) => {
        refused(() => renderBase({ node: text }));
        refused(() => renderFirewall({ ...firewall, allowSsh: [text] }));
        refused(() => renderFirewall({ ...firewall, allowUsers: [`10.0.0.0/8${text}`] }));
        refused(() => renderFirewall({ ...firewall, rules: [{ port: 1, from: [text] }] }));
        refused(() => renderRuntime({ node, insecureRegistries: [text] }));
        refused(() => renderRuntime({ node, avoidNetworks: [text] }));
        refused(() => renderStorage({ node, root: text }));
      }),
      { numRuns: 100 },
    );
  });

  it("writes a path with odd characters as one inert word", () => {
    fc.assert(
      fc.property(nasty, (text) => {
        let command: string;
        try {
          command = renderStorage({ node, directories: [`/${text}`] });
        } catch (error) {
          expect(error).toBeInstanceOf(StageOptionError);
          return;
        }
        // Still the same script but for one word: valid, and no line more than with a harmless value.
        const plain = renderStorage({ node, directories: ["/x"] });
        expect(command.split("\n").length).toBe(plain.split("\n").length);
        expect(spawnSync("bash", ["-n"], { input: stageBody(command), encoding: "utf8" }).stderr).toBe("");
      }),
      { numRuns: 60 },
    );
  });
});

describe("networks and ports", () => {
  it.each([
    ["10.0.0.0/8", 4, "10.0.0.0/8"],
    ["10.1.2.3", 4, "10.1.2.3/32"],
    ["0.0.0.0/0", 4, "0.0.0.0/0"],
    ["::/0", 6, "::/0"],
    ["2001:db8::1", 6, "2001:db8::1/128"],
    ["::ffff:1.2.3.4/128", 6, "::ffff:1.2.3.4/128"],
  ])("takes %s", (value, family, text) => expect(parseNetwork(value, "x")).toMatchObject({ family, text }));

  it.each([
    "",
    "10.0.0.1/8",
    "10.0.0.0/33",
    "10.0.0",
    "fd00::1/8",
    "::/129",
    "fe80::1%eth0",
    "a/b",
    "10.0.0.0/8/8",
  ])("refuses %j", (value) =>
    expect(() => parseNetwork(value, "firewall.x")).toThrow(/firewall\.x: .*allowed: an IPv4 or IPv6/),
  );

  it("merges ranges without losing or adding a port", () => {
    const range = fc
      .tuple(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 0, max: 9 }))
      .map(([start, size]) => ({
        start,
        end: start + size,
      }));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), (ranges) => {
        const ports = (list: { start: number; end: number }[]) =>
          new Set(
            list.flatMap(({ start, end }) => Array.from({ length: end - start + 1 }, (_, i) => start + i)),
          );
        const merged = mergeRanges(ranges);
        expect(ports(merged)).toEqual(ports(ranges));
        for (const [i, next] of merged.slice(1).entries()) {
          expect(next.start).toBeGreaterThan((merged[i]?.end ?? 0) + 1);
        }
        const groups = portGroups(merged);
        expect(groups.flat()).toEqual(merged);
        for (const group of groups) {
          expect(group.reduce((sum, { start, end }) => sum + (start === end ? 1 : 2), 0)).toBeLessThanOrEqual(
            15,
          );
        }
      }),
    );
  });

  it("keeps Docker's pool off the networks given, or says that it cannot", () => {
    const avoid = ["172.30.0.0/24", "172.26.0.0/16"].map((text) => parseNetwork(text, "x"));
    const pool = parseNetwork(dockerPool(avoid).base, "x");
    for (const network of avoid) expect(networksOverlap(pool, network)).toBe(false);
    expect(() => dockerPool([parseNetwork("0.0.0.0/0", "x")])).toThrow(/avoidNetworks/);
  });
});

describe("the firewall", () => {
  it("asks for one network or more that may open SSH", () => {
    expect(() => renderFirewall({ ...firewall, allowSsh: [] })).toThrow(
      /allowSsh.*nobody can reach the node/,
    );
  });

  it("opens Ray to the nodes and the workspaces, never to users' networks", () => {
    const rules = stageBody(scripts["firewall, plain"])
      .split("\n")
      .filter((line) => line.startsWith("proto "));
    const ray = rules.filter((line) => line.includes("6379"));
    expect(ray.map((line) => line.split(" ")[3])).toEqual([
      "10.88.0.10/32",
      "10.88.0.11/32",
      "172.30.0.0/24",
    ]);
    expect(rules.filter((line) => line.endsWith(" 22"))).toHaveLength(2);
  });

  it("does not change with the order of ports, and changes in this stage alone with a rule", () => {
    const reversed = { ...firewall, clusterPorts: [...firewall.clusterPorts].reverse() };
    expect(renderFirewall(reversed)).toBe(scripts["firewall, plain"]);
    expect(scripts["firewall, with rules"]).not.toBe(scripts["firewall, plain"]);
  });
});

describe("daemon.json", () => {
  const merge = (have: unknown, last: unknown, ours: unknown, cdi = "no") => {
    const folder = mkdtempSync(join(tmpdir(), "berth-daemon-"));
    try {
      const file = (name: string, data: unknown) => {
        if (data !== undefined) {
          writeFileSync(join(folder, name), typeof data === "string" ? data : JSON.stringify(data));
        }
        return join(folder, name);
      };
      const ran = spawnSync("python3", ["-c", MERGE, file("have", have), file("last", last), cdi], {
        input: JSON.stringify(ours),
        encoding: "utf8",
        env: { ...process.env, OURS: join(folder, "ours") },
      });
      if (ran.status !== 0) throw new Error(ran.stderr);
      return { result: JSON.parse(ran.stdout), ours: JSON.parse(readFileSync(join(folder, "ours"), "utf8")) };
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
  const ours = daemonConfig({ insecureRegistries: ["10.88.0.2:5000"] });

  it("is ours where there was none, with CDI where the version has it", () => {
    expect(merge(undefined, undefined, ours).result).toEqual(ours);
    expect(merge("", undefined, ours, "yes").result).toEqual({ ...ours, features: { cdi: true } });
  });

  it("keeps what the operator wrote, where ours says nothing", () => {
    const have = {
      "data-root": "/big",
      "registry-mirrors": ["https://mirror"],
      "insecure-registries": ["old:5000"],
      "exec-opts": ["native.cgroupdriver=systemd", "native.umask=normal"],
      "log-opts": { tag: "x" },
      features: { buildkit: true },
    };
    expect(merge(have, undefined, ours, "yes").result).toEqual({
      ...ours,
      "data-root": "/big",
      "registry-mirrors": ["https://mirror"],
      "insecure-registries": ["old:5000", "10.88.0.2:5000"],
      "exec-opts": ["native.umask=normal", "native.cgroupdriver=cgroupfs"],
      features: { buildkit: true, cdi: true },
    });
  });

  it("takes back what we set and no longer set, and nothing else", () => {
    const first = merge({ "insecure-registries": ["theirs:1"] }, undefined, ours, "yes");
    const { "live-restore": _, ...fewer } = ours;
    const next = { ...fewer, "insecure-registries": ["10.88.0.3:5000"] };
    expect(merge(first.result, first.ours, next).result).toEqual({
      ...next,
      "insecure-registries": ["theirs:1", "10.88.0.3:5000"],
    });
  });

  it("is the same after a second run", () => {
    const first = merge({ debug: true }, undefined, ours, "yes");
    expect(merge(first.result, first.ours, ours, "yes").result).toEqual(first.result);
  });

  it("is read behind a byte order mark, as dockerd reads it, and written without one", () => {
    const { result } = merge('\uFEFF{"debug": true}', undefined, ours);
    expect(result).toEqual({ ...ours, debug: true });
    expect(merge("\uFEFF", undefined, ours).result).toEqual(ours);
  });

  it("says which file is no JSON", () => {
    expect(() => merge("{ nonsense", undefined, ours)).toThrow(/have is no JSON/);
    expect(() => merge("[]", undefined, ours)).toThrow(/holds no JSON object/);
  });
});
