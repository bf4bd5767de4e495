import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { stageBody } from "../../../../components/host/stage";
import { AUTO_EXEC_FILE, autoExecFile, renderAutoExec } from "../../../../components/workspace/setup";
import { has } from "../../../fakes/workspace-node";
import { missing, shellcheck } from "../../../lib/programs";

const login = userInfo().username;
const option = { login, user: "alice", container: "berth-dev-alice" };

describe("renderAutoExec", () => {
  const { create, delete: remove } = renderAutoExec({ node: "node-0", autoExec: option });

  it("places one file, and removes it when the option is gone", () => {
    expect(create).toContain(`place 0644 ${AUTO_EXEC_FILE}`);
    expect(remove).toContain(`unplace ${AUTO_EXEC_FILE}`);
    expect(renderAutoExec({ node: "node-0" })).toEqual({ create: remove, delete: remove });
  });

  it("is bash that parses; the file is sh that parses", () => {
    for (const text of [create, remove]) {
      expect(spawnSync("bash", ["-n"], { input: stageBody(text), encoding: "utf8" }).stderr).toBe("");
    }
    expect(spawnSync("sh", ["-n"], { input: autoExecFile(option), encoding: "utf8" }).stderr).toBe("");
  });

  it.skipIf(missing("shellcheck"))("has no finding of shellcheck", () => {
    expect(shellcheck(autoExecFile(option), "-s", "sh")).toBe("");
  });
});

describe.skipIf(!has("script"))("a login", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "berth-login-"));
    program("docker", `case $1 in inspect) cat ${root}/running ;; *) printf '%s\\n' "ENTERED $*" ;; esac`);
    program("sudo", '[ "$1" = -n ] && shift; exec "$@"');
    writeFileSync(join(root, "running"), "true\n");
    writeFileSync(join(root, "profile"), autoExecFile(option));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  function program(name: string, body: string): void {
    writeFileSync(join(root, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(root, name), 0o755);
  }

  /** What an interactive shell with a terminal prints that reads the file and then says STAYED. */
  function session(
    env: Record<string, string>,
    shell = "bash --norc",
    text = ". ./profile; echo STAYED",
  ): string {
    writeFileSync(join(root, "commands"), text);
    const command = `${shell} -i -c "$(cat commands)"`;
    const done = spawnSync("script", ["-qec", command, "/dev/null"], {
      cwd: root,
      encoding: "utf8",
      input: "",
      env: { PATH: `${root}:${process.env.PATH}`, HOME: root, TERM: "xterm", ...env },
    });
    return done.stdout;
  }
  const ssh = { SSH_CONNECTION: "192.0.2.1 50000 192.0.2.2 22" };

  it.each(["bash --norc", "dash"])(
    "by SSH with a terminal goes on in the workspace, as its user (%s)",
    (shell) => {
      if (!has(shell.split(" ")[0] as string)) return;
      const out = session(ssh, shell);
      expect(out).toContain("ENTERED exec -it -u alice -w /home/alice -e DOCKER_CONTAINER=1");
      expect(out).toContain("To stay on the node: ssh -t NODE berth_no_exec=1 bash -l");
      expect(out).not.toContain("STAYED");
    },
  );

  it.each([
    ["not by SSH", {}],
    ["that says so", { ...ssh, berth_no_exec: "1" }],
    ["already inside", { ...ssh, DOCKER_CONTAINER: "1" }],
  ])("%s stays on the node, silently", (_, env) => {
    expect(session(env).trim()).toBe("STAYED");
  });

  it("of another user stays on the node", () => {
    writeFileSync(join(root, "profile"), autoExecFile({ ...option, login: "somebody-else" }));
    expect(session(ssh).trim()).toBe("STAYED");
  });

  it("stays on the node, and says so, when the workspace does not run or Docker does not answer", () => {
    writeFileSync(join(root, "running"), "false\n");
    expect(session(ssh)).toMatch(/does not run; this is the node\s+STAYED/);
    program("docker", "exit 1");
    expect(session(ssh)).toMatch(/does not run; this is the node\s+STAYED/);
  });

  it("without a terminal, or a shell that is not interactive, is left alone", () => {
    expect(session(ssh, "bash --norc", ". ./profile </dev/null; echo STAYED").trim()).toBe("STAYED");
    const env = { PATH: `${root}:${process.env.PATH}`, ...ssh };
    const done = spawnSync("sh", ["-c", ". ./profile; echo STAYED"], { cwd: root, encoding: "utf8", env });
    expect(done).toMatchObject({ stdout: "STAYED\n", stderr: "" });
  });

  it("leaves no function behind in the shell", () => {
    const out = session({}, "bash --norc", ". ./profile; type berth_auto_exec 2>&1; echo STAYED");
    expect(out).toContain("not found");
  });
});
