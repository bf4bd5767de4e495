/**
 * Berth's part of sshd's configuration beside what an operator has written, judged by sshd itself; systemd is a stand-in.
 * Proves: every Match block is looked at, whatever it asks for; the file that decides is named; a step that fails leaves
 * the files as they were and reloads nothing.
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { renderBase } from "../../components/host/base";
import { type PreflightOptions, renderPreflight } from "../../components/host/preflight";
import { SSHD_CHANGES } from "../../components/host/sshd";
import { parseFacts, renderStage, stageBody } from "../../components/host/stage";
import { standIns } from "../lib/host-scripts";
import { missing, programPath } from "../lib/programs";

let folder: string;
const { at, calls, tool } = standIns(() => folder);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-sshd-"));
  for (const name of ["bin", "etc/ssh/sshd_config.d"]) mkdirSync(at(name), { recursive: true });
  spawnSync(programPath("ssh-keygen"), ["-q", "-t", "ed25519", "-N", "", "-f", at("key")]);
  tool("sshd", `exec ${programPath("sshd")} -f ${at("etc/ssh/sshd_config")} -h ${at("key")} "$@"`);
  tool("systemctl", 'record "$@"');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const DROP_IN = "etc/ssh/sshd_config.d/10-berth.conf";
/** sshd_config as Debian has it, with lines of the operator's behind; and drop-ins. */
function written(more: string, dropIns: Record<string, string> = {}, include = true): void {
  const first = include ? `Include ${at("etc")}/ssh/sshd_config.d/*.conf\n` : "";
  writeFileSync(at("etc/ssh/sshd_config"), `${first}KbdInteractiveAuthentication no\nUsePAM yes\n${more}`);
  for (const [name, text] of Object.entries(dropIns))
    writeFileSync(at(`etc/ssh/sshd_config.d/${name}`), text);
}

/** A function of a rendered stage, with all of /etc in this test's folder. */
function stepOf(command: string, name: string): string {
  const body = stageBody(command);
  const index = new RegExp(`^step '?${name}'? \\d+ step_(\\d+)$`, "m").exec(body)?.[1];
  const text =
    new RegExp(`^step_${index}\\(\\) \\{\\n([\\s\\S]*?)\\n\\}$\\n(?=step_|begin)`, "m").exec(body)?.[1] ??
    "exit 1";
  return text.replaceAll("/etc/", `${at("etc")}/`);
}

function run(name: string, body: string) {
  const command = renderStage({
    name,
    node: "node-0",
    steps: [{ name: "sshd", body: `PATH=${at("bin")}:$PATH\n: >"$work/problems"\n${body}` }],
    paths: { logs: at("log"), state: at("state"), lock: at("lock") },
  });
  const ran = spawnSync("sh", ["-c", command], { encoding: "utf8" });
  return { ...ran, facts: ran.status === 0 ? parseFacts(ran.stdout) : {} };
}
const base = () => run("base", stepOf(renderBase({ node: "node-0" }), "sshd"));
const options: PreflightOptions = {
  stack: "lab",
  privateAddress: "10.0.0.7",
  ports: [],
  firewall: { allowSsh: ["::/0"], allowUsers: [], userPorts: [], clusterAddresses: [], clusterPorts: [] },
};
const preflight = () => {
  const ran = run(
    "preflight",
    `${stepOf(renderPreflight({ node: "n", ...options }), "sshd")}\ncat "$work/problems" "$work/sshd" >${at("told")}`,
  );
  expect(ran.stderr).toBe("");
  return readFileSync(at("told"), "utf8");
};

/** What sshd would use, outside of Match blocks of others. */
const effective = (keyword: string) =>
  spawnSync(
    at("bin/sshd"),
    ["-T", "-C", "user=ada,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22,rdomain="],
    {
      encoding: "utf8",
    },
  )
    .stdout.split("\n")
    .find((line) => line.startsWith(`${keyword} `));

describe.runIf(process.getuid?.() === 0 && !missing("sshd", "ssh-keygen"))("sshd", () => {
  it.each([
    "Match LocalPort 2222\n  X11Forwarding no",
    "Match LocalAddress 10.0.0.7\n  X11Forwarding no",
    "Match RDomain blue\n  X11Forwarding no",
    "Match User ada Host *.example.org Address 10.0.0.0/8\n  X11Forwarding no",
  ])("gets its part beside %j", (more) => {
    written(`${more}\n`);
    const { stderr, facts } = base();
    expect(stderr).toBe("");
    expect(facts).toMatchObject({ changed: [at(DROP_IN)], sshdExceptions: [] });
    expect(calls()).toEqual(["systemctl try-reload-or-restart ssh.service"]);
    expect(base().facts).toMatchObject({ changed: [] });
  });

  it.each([
    [
      "Match Address 10.0.0.0/8\n  PasswordAuthentication yes",
      "PasswordAuthentication yes",
      "Match Address 10.0.0.0/8",
    ],
    [
      "Match User ada\n  KbdInteractiveAuthentication yes",
      "KbdInteractiveAuthentication yes",
      "Match User ada",
    ],
    [
      "Match LocalPort 22\n  challengeresponseauthentication=yes",
      "challengeresponseauthentication yes",
      "Match LocalPort 22",
    ],
    ["Match all\n  MaxSessions 10", "MaxSessions 10", "Match all"],
    [
      "Match Group staff\n  X11Forwarding no\nMatch User root\n  PasswordAuthentication yes",
      "PasswordAuthentication yes",
      "Match User root",
    ],
  ])("is told of with what %j lets through", (more, said, criteria) => {
    written(`${more}\n`);
    const line = `'${said}' stays, where ${criteria} applies (${at("etc/ssh/sshd_config")} line ${3 + more.split("\n").length})`;
    expect(preflight()).toContain(line);
    const { stderr, facts } = base();
    expect(stderr).toBe("");
    expect(facts.sshdExceptions).toEqual([line]);
  });

  it("is looked at in included files, also those of a Match block", () => {
    written(`Match User ada\n  Include ${at("etc/ssh/more")}\n`, {
      "50-own.conf": "Match Address 10.0.0.0/8\nPasswordAuthentication yes\n",
    });
    writeFileSync(at("etc/ssh/more"), "Match LocalPort 2222\nPasswordAuthentication yes\n");
    expect(base().facts.sshdExceptions).toEqual([
      `'PasswordAuthentication yes' stays, where Match Address 10.0.0.0/8 applies (${at("etc/ssh/sshd_config.d/50-own.conf")} line 2)`,
      `'PasswordAuthentication yes' stays, where Match User ada, Match LocalPort 2222 applies (${at("etc/ssh/more")} line 2)`,
    ]);
  });

  it.each<[string, string, Record<string, string>, boolean, RegExp]>([
    [
      "an earlier drop-in",
      "",
      { "00-hardening.conf": "# x\nMaxSessions 10\n" },
      true,
      /'MaxSessions 64 or more': \S+\/00-hardening\.conf line 2 says MaxSessions 10 before/,
    ],
    [
      "a line above the Include",
      "",
      {},
      false,
      /'PasswordAuthentication no': no line of \S+\/sshd_config includes \S+\/sshd_config\.d\/\*\.conf outside a Match block/,
    ],
    [
      "an Include that only some connections get",
      `Match User ada\nInclude @/ssh/sshd_config.d/*.conf\n`,
      {},
      false,
      /'PasswordAuthentication no': no line of/,
    ],
  ])("names %s that decides, in both looks, and is left as it was", (_, more, dropIns, include, text) => {
    written(more.replace("@", at("etc")), dropIns, include);
    expect(preflight()).toMatch(text);
    const { status, stderr } = base();
    expect(status).not.toBe(0);
    expect(stderr).toMatch(text);
    expect(stderr).toContain("nothing of sshd was changed");
    expect(existsSync(at(DROP_IN))).toBe(false);
    expect(calls()).toEqual([]);
  });

  it.each([
    ["says nothing", "", "", ""],
    ["says no", "PermitRootLogin no\n", "", ""],
    ["says no in a file of its own", "", "PermitRootLogin no\n", ""],
    ["lets single commands in", "PermitRootLogin forced-commands-only\n", "", ""],
    ["lets root in by keys", "PermitRootLogin prohibit-password\n", "", ""],
    ["says no first, and yes behind", "PermitRootLogin yes\n", "PermitRootLogin no\n", ""],
    ["says yes for some alone", "Match User root\n  PermitRootLogin yes\n", "", ""],
    ["says yes", "PermitRootLogin yes\n", "", "PermitRootLogin prohibit-password\n"],
  ])("lets root in by no more than where the operator %s", (_, more, dropIn, line) => {
    written(more, dropIn === "" ? {} : { "50-own.conf": dropIn });
    const before = effective("permitrootlogin");
    const first = base();
    expect(first.stderr).toBe("");
    expect(/^PermitRootLogin.*\n/m.exec(readFileSync(at(DROP_IN), "utf8"))?.[0] ?? "").toBe(line);
    expect(effective("permitrootlogin")).toBe(line === "" ? before : "permitrootlogin without-password");
    expect(base().facts).toMatchObject({ changed: [] });
  });

  it("tells each value that changes, with the one of today", () => {
    written("X11Forwarding yes\nMaxSessions 4\nClientAliveInterval 30\nPermitRootLogin yes\n");
    const ran = run(
      "preflight",
      `will() { printf '%s\\n' "$*" >>"$work/will"; }
${stepOf(renderPreflight({ node: "n", ...options }), "sshd")}
${SSHD_CHANGES.replaceAll("/etc/", `${at("etc")}/`)}
cat "$work/will" >${at("told")}`,
    );
    expect(ran.stderr).toBe("");
    expect(readFileSync(at("told"), "utf8")).toBe(
      `adds ${at(DROP_IN)}: no password login (today passwords are taken: make sure that everybody has a key)` +
        "; X11Forwarding no (now yes); MaxStartups 100:30:200 (now 10:30:100); MaxSessions 64 (now 4)" +
        "; ClientAliveCountMax 10 (now 3); no SSH client older than OpenSSH 6.5; PermitRootLogin prohibit-password (now yes)\n",
    );
  });

  it("takes an earlier file that says no less", () => {
    written("", { "00-own.conf": "MaxSessions 128\nPasswordAuthentication no\n" });
    expect(base().facts).toMatchObject({ changed: [at(DROP_IN)] });
  });

  it.each<[string, string, Record<string, string>, string]>([
    ["in sshd_config", "MACs hmac-sha2-512-etm@openssh.com\n", {}, "MACs"],
    ["in a later file", "", { "50-own.conf": "kexalgorithms=curve25519-sha256\n" }, "KexAlgorithms"],
    ["in an earlier file", "", { "00-own.conf": "MACs hmac-sha2-512-etm@openssh.com\n" }, "MACs"],
  ])(
    "keeps the algorithms that an operator has chosen %s, which may be fewer",
    (_, more, dropIns, keyword) => {
      written(more, dropIns);
      expect(preflight()).toMatch(
        new RegExp(`^own ${keyword.toLowerCase()} ${keyword} .* line \\d+\\)$`, "im"),
      );
      const { stderr, facts } = base();
      expect(stderr).toBe("");
      expect(facts).toMatchObject({ changed: [at(DROP_IN)] });
      const keywords = readFileSync(at(DROP_IN), "utf8").match(/^(KexAlgorithms|MACs)/gm);
      expect(keywords).toEqual(["KexAlgorithms", "MACs"].filter((one) => one !== keyword));
      const effective = spawnSync(at("bin/sshd"), ["-T"], { encoding: "utf8" }).stdout;
      const own = more || Object.values(dropIns).join("");
      const value = own.trim().split(/[ =]/)[1];
      expect(effective).toContain(`${keyword.toLowerCase()} ${value}\n`);
      expect(base().facts).toMatchObject({ changed: [] });
    },
  );

  it.each([
    ["before", "Port nonsense\n", /sshd refuses its configuration as it is, without any change of Berth/],
    // Its test passes, and then it does not tell what it would use.
    ["with Berth's part", "", /is as it was, and nothing was reloaded/],
  ])("that refuses its configuration %s stays as it was", (_, more, text) => {
    written(more);
    writeFileSync(at(DROP_IN), "# an older one\nMaxSessions 64\n");
    if (more === "")
      tool(
        "sshd",
        `[[ "$*" != *-T* ]] && exec ${programPath("sshd")} -f ${at("etc/ssh/sshd_config")} -h ${at("key")} "$@"`,
      );
    const { status, stderr } = base();
    expect(status).not.toBe(0);
    expect(stderr).toMatch(text);
    expect(readFileSync(at(DROP_IN), "utf8")).toBe("# an older one\nMaxSessions 64\n");
    expect(readdirSync(at("state/pending"))).toEqual([]);
    expect(calls()).toEqual([]);
  });
});
