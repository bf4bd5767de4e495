/**
 * What a node gets for the container manager, with stand-ins for the system's programs. Proves: git and its account are there afterwards,
 * whatever was there before, and a second run changes nothing; an older git, and a uid or gid of somebody else's, end the stage with what
 * to do; a server is told of both before it is adopted; one that leaves loses the account where it is Berth's, and no other.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { renderBase } from "../../components/host/base";
import { renderPreflight } from "../../components/host/preflight";
import { renderRetire } from "../../components/host/retire";
import { parseFacts, renderStage, stageBody } from "../../components/host/stage";
import { standIns } from "../lib/host-scripts";

let folder: string;
const { at, read, calls, tool } = standIns(() => folder);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-manager-"));
  for (const name of ["bin", "etc/systemd/system", "var/cache"]) mkdirSync(at(name), { recursive: true });
  for (const name of ["passwd", "group"]) writeFileSync(at(`etc/${name}`), "root:x:0:0\n");
  tool("systemctl", 'record "$@"');
  // Every package is there.
  tool("dpkg-query", "echo installed");
  tool("git", "echo 'git version 2.43.0'");
  // `DATABASE NAME` or `DATABASE ID`.
  tool("getent", `grep -E "^($2:|[^:]*:x:$2:)" ${at("etc")}/"$1" || exit 2`);
  tool(
    "groupadd",
    `record "$@"; if grep -q "^$4:" ${at("etc/group")}; then echo "group '$4' already exists" >&2; exit 9; fi; echo "$4:x:$2:" >>${at("etc/group")}`,
  );
  tool("useradd", `record "$@"; echo "\${!#}:x:$2:$4:\${11}:$7:$9" >>${at("etc/passwd")}`);
  for (const [name, file] of [
    ["userdel", "passwd"],
    ["groupdel", "group"],
  ])
    tool(`${name}`, `record "$@"; sed -i "/^$2:/d" ${at(`etc/${file}`)}`);
  for (const name of ["setpriv", "prlimit", "choom", "nice", "systemd-run"]) tool(name, "");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The step of a rendered stage, with all of /etc and /var in this test's folder. */
function stepOf(command: string, name: string): string {
  const body = stageBody(command);
  const index = new RegExp(`^step '${name}' \\d+ step_(\\d+)$`, "m").exec(body)?.[1];
  const text =
    new RegExp(`^step_${index}\\(\\) \\{\\n([\\s\\S]*?)\\n\\}$\\n(?=step_|begin)`, "m").exec(body)?.[1] ??
    "exit 1";
  return text.replaceAll("/etc/", `${at("etc")}/`).replaceAll("/var/cache/", `${at("var/cache")}/`);
}

function run(body: string) {
  const command = renderStage({
    name: "base",
    node: "node-0",
    uses: ["files", "apt"],
    steps: [{ name: "manager", body: `PATH=${at("bin")}:$PATH\n${body}` }],
    paths: { logs: at("log"), state: at("state"), lock: at("lock") },
  });
  const ran = spawnSync("sh", ["-c", command], { encoding: "utf8" });
  return { ...ran, facts: ran.status === 0 ? parseFacts(ran.stdout) : {} };
}
const base = () =>
  run(stepOf(renderBase({ node: "node-0", manager: true }), "what the container manager needs"));

describe("a node with the container manager", () => {
  it("gets the account that runs git, the slice and the cache's folder; a second run changes nothing", () => {
    const first = base();
    expect(first.stderr).toBe("");
    expect(first.facts.changed).toEqual(
      [
        "account berth-git",
        at("etc/systemd/system/berth-manager.slice"),
        "group berth-git",
        at("var/cache/berth"),
      ].sort(),
    );
    expect(read("etc/passwd")).toContain("berth-git:x:10002:10002");
    expect(calls().find((call) => call.startsWith("useradd"))).toMatch(
      /-M -d \/nonexistent -s \/usr\/sbin\/nologin/,
    );
    expect(calls().at(-1)).toBe("systemctl daemon-reload");
    expect(read("etc/systemd/system/berth-manager.slice")).toContain("[Slice]");
    const before = calls().length;
    expect(base().facts.changed).toEqual([]);
    expect(calls()).toHaveLength(before);
  });

  it("goes on where a run was cut after the group, or before systemd knew of the slice", () => {
    writeFileSync(at("etc/group"), "berth-git:x:10002:\n");
    expect(base().facts.changed).toContain("account berth-git");
    mkdirSync(at("state/pending"), { recursive: true });
    writeFileSync(at("state/pending/manager-slice"), "");
    base();
    expect(calls().filter((call) => call === "systemctl daemon-reload")).toHaveLength(2);
  });

  it.each([
    ["git version 2.34.1", "2.34.1"],
    ["git version 2.37.9 (Apple Git-1)", "2.37.9"],
  ])("with %s is refused, with what to do", (said, found) => {
    tool("git", `echo '${said}'`);
    const { status, stderr } = base();
    expect(status).not.toBe(0);
    expect(stderr).toContain(
      `needs git 2.38 or newer, and this node has ${found}: take Debian 12, Ubuntu 24.04`,
    );
    expect(existsSync(at("var/cache/berth"))).toBe(false);
  });

  it.each(["git version 2.38.0", "git version 2.100.1", "git version 3.0"])("with %s is taken", (said) => {
    tool("git", `echo '${said}'`);
    expect(base().stderr).toBe("");
  });

  it("whose group's name has another id already is refused, and no account is made", () => {
    writeFileSync(at("etc/group"), "berth-git:x:990:\n");
    const { stderr } = base();
    expect(stderr).toContain("group 'berth-git' already exists");
    expect(stderr).toContain("the group berth-git with the id 10002 cannot be made");
    expect(calls().some((call) => call.startsWith("useradd"))).toBe(false);
  });

  it("without what bounds git is refused", () => {
    rmSync(at("bin/setpriv"));
    // What the system has of it must not help.
    tool("command", "exit 1");
    const body = stepOf(renderBase({ node: "node-0", manager: true }), "what the container manager needs");
    const { stderr } = run(`command() { [ "$2" != setpriv ]; }\n${body}`);
    expect(stderr).toContain("the container manager needs setpriv");
  });
});

describe("a server that leaves", () => {
  const leave = () => run(stepOf(renderRetire({ node: "node-0", stack: "lab" }), "account of git"));
  const both = () => [read("etc/passwd"), read("etc/group")].map((text) => text.trim().split("\n").slice(1));

  it("loses the account that git ran as, with its group; a second run changes nothing", () => {
    base();
    expect(both().map(({ length }) => length)).toEqual([1, 1]);
    const { stderr, facts } = leave();
    expect([stderr, facts.changed]).toEqual(["", ["account berth-git", "group berth-git"]]);
    expect(both()).toEqual([[], []]);
    expect(leave().facts.changed).toEqual([]);
  });

  it("loses the group where that went with its account, or a run was cut between both", () => {
    base();
    tool("userdel", `sed -i "/^$2:/d" ${at("etc/passwd")} ${at("etc/group")}`);
    expect(leave().facts.changed).toEqual(["account berth-git"]);
    writeFileSync(at("etc/group"), "root:x:0:\nberth-git:x:10002:\n");
    expect(leave().facts.changed).toEqual(["group berth-git"]);
  });

  it.each([
    ["of that name that somebody else made", "berth-git:x:10002:10002:Git of ours:/srv/git:/bin/sh"],
    ["of that name with another id", "berth-git:x:990:990:Berth, repositories of back-ends:/:/bin/sh"],
    ["of another name with that id", "git:x:10002:10002:Berth, repositories of back-ends:/:/bin/sh"],
  ])("keeps an account %s, and its group", (_, line) => {
    const [name, , , gid] = line.split(":");
    writeFileSync(at("etc/passwd"), `root:x:0:0\n${line}\n`);
    writeFileSync(at("etc/group"), `root:x:0:\n${name}:x:${gid}:\n`);
    expect(leave().facts.changed).toEqual([]);
    expect(both().map(({ length }) => length)).toEqual([1, 1]);
  });
});

describe("a server, before it is adopted", () => {
  const options = {
    ...{ node: "n", stack: "lab", privateAddress: "10.0.0.7", ports: [] },
    firewall: { allowSsh: ["::/0"], allowUsers: [], userPorts: [], clusterAddresses: [], clusterPorts: [] },
  };
  /** The part about the container manager of what is asked of a server. */
  function told(): string[] {
    const body = stageBody(renderPreflight({ ...options, base: { manager: true } }));
    const [, part = "exit 1"] = /^(git_name=berth-git[\s\S]*?^esac)$/m.exec(body) ?? [];
    const { facts, stderr } = run(
      `problem() { printf '%s\\n' "$1" >>"$work/problems"; }\n: >"$work/problems"\n${part}\nfact_json problems "$(json_lines <"$work/problems")"`,
    );
    expect(stderr).toBe("");
    return facts.problems as string[];
  }
  beforeEach(() => {
    tool("dpkg", '[ "$1" = --compare-versions ] && exec /usr/bin/dpkg "$@"');
    tool("apt-cache", "printf 'git:\\n  Installed: (none)\\n  Candidate: 1:2.43.0-1ubuntu7\\n'");
  });

  it("is told of a git that is too old, there or to be installed", () => {
    tool("dpkg-query", "echo 1:2.34.1-1ubuntu1.11");
    expect(told()).toEqual([
      expect.stringContaining("has or would get 1:2.34.1-1ubuntu1.11: upgrade it to Debian 12"),
    ]);
    tool("dpkg-query", "exit 1");
    expect(told()).toEqual([]);
    tool("apt-cache", "printf 'git:\\n  Candidate: 1:2.34.1-1ubuntu1.11\\n'");
    expect(told()).toHaveLength(1);
    tool("apt-cache", "printf 'git:\\n  Candidate: (none)\\n'");
    expect(told()).toEqual([]);
  });

  it("is told of an account that has the uid, and not of its own", () => {
    tool("dpkg-query", "echo 1:2.47.3-0+deb13u1");
    writeFileSync(at("etc/passwd"), "backup2:x:10002:100\n");
    expect(told()).toEqual([expect.stringContaining("the uid 10002 is that of backup2 here")]);
    writeFileSync(at("etc/passwd"), "berth-git:x:10002:10002\n");
    expect(told()).toEqual([]);
  });

  it("without the manager is asked nothing of it", () => {
    expect(stageBody(renderPreflight(options))).not.toContain("berth-git");
  });
});
