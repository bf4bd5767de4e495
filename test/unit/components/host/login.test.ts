/** The login that is to land in a workspace: looked at before anything is changed, with a way to mend it. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loginProblem, rayAccountProblem } from "../../../../components/host/login";
import { renderPreflight } from "../../../../components/host/preflight";
import { StageOptionError } from "../../../../components/host/shell";
import { stageBody } from "../../../../components/host/stage";
import { RAY_UID } from "../../../../components/ray/plan";
import { preflightOptions } from "../../../../components/stage-options";
import { renderAutoExec } from "../../../../components/workspace/setup";
import type { BaremetalNodePlan } from "../../../../config";
import { missing, shellcheck } from "../../../lib/programs";
import { firewall, load, metal } from "../../config/helpers";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-login-"));
  const passwd = [
    "root:x:0:0:root:/root:/bin/bash",
    "daemon:x:1:1::/usr/sbin:/usr/sbin/nologin",
    "ops:x:1000:1000::/home/ops:/usr/bin/zsh",
    "admin2:x:1001:1001::/home/admin2:/bin/sh",
    "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin",
  ];
  writeFileSync(join(folder, "passwd"), `${passwd.join("\n")}\n`);
  // As getent: the entry, or nothing and 2.
  const getent = `#!/bin/sh\nif [ $# -eq 1 ]; then cat ${folder}/passwd; else grep -e "^$2:" -e "^[^:]*:x:$2:" ${folder}/passwd || exit 2; fi\n`;
  writeFileSync(join(folder, "getent"), getent);
  chmodSync(join(folder, "getent"), 0o755);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const look = (login: string) => {
  const text = `set -euo pipefail\n${loginProblem(login, "autoExec")}\nprintf '%s' "$login_problem"`;
  const env = { PATH: `${folder}:${process.env.PATH}` };
  return spawnSync("bash", ["--norc", "-c", text], { encoding: "utf8", env });
};

const plan = (more: object = {}) =>
  load({
    nodes: [metal(0, { autoExec: { login: "ops", user: "alice" } })],
    users: [{ name: "alice", node: "metal-0", index: 0 }],
    firewall,
    ...more,
  });
const asked = (of: ReturnType<typeof plan>) => preflightOptions(of, of.nodes[0] as BaremetalNodePlan);

describe("a login for a workspace", () => {
  it.each<[string, RegExp]>([
    ["root", /^$/],
    ["admin2", /^$/],
    [
      "olga",
      /^autoExec names the login olga, and there is none here\. Make it \(adduser olga\), or name one of: root ops admin2$/,
    ],
    [
      "ops",
      /^autoExec names the login ops, whose shell reads no \/etc\/profile: \/usr\/bin\/zsh\. Allowed: bash, sh, dash, ksh/,
    ],
    ["daemon", /reads no \/etc\/profile: \/usr\/sbin\/nologin/],
  ])("%s", (login, told) => {
    expect(look(login)).toMatchObject({ status: 0, stderr: "", stdout: expect.stringMatching(told) });
  });

  it.skipIf(missing("shellcheck"))("has no finding of shellcheck", () => {
    expect(shellcheck(`${loginProblem("ops", "autoExec")}\necho "$login_problem"\n`, "-s", "bash")).toBe("");
  });

  it("is a plain name", () => {
    expect(() => loginProblem("a b", "autoExec")).toThrow(StageOptionError);
  });

  it("is looked at by a server's preflight, with all else that stands in the way, and by the stage itself", () => {
    const body = stageBody(renderPreflight({ ...asked(plan()), node: "metal-0" }));
    expect(body.indexOf("login_name=ops login_where=autoExec")).toBeGreaterThan(0);
    expect(body.indexOf("login_name=ops login_where=autoExec")).toBeLessThan(
      body.indexOf("what stands in the way"),
    );
    const autoExec = { login: "ops", user: "alice", container: "c" };
    expect(renderAutoExec({ node: "n", autoExec }).create).toContain("login_name=ops login_where=autoExec");
  });

  it("is of no account where no login is led anywhere: the preflight's text stays as it was", () => {
    for (const of of [plan({ dockerFirst: false }), plan({ nodes: [metal(0)] })]) {
      expect(asked(of)).not.toHaveProperty("login");
      expect(renderPreflight({ ...asked(of), node: "metal-0" })).not.toContain("login_problem");
    }
  });
});

describe("an account with Ray's uid", () => {
  const told = (uid: number) => {
    const text = `set -euo pipefail\nproblem() { echo "$*"; }\n${rayAccountProblem(uid)}`;
    const env = { PATH: `${folder}:${process.env.PATH}` };
    return spawnSync("bash", ["--norc", "-c", text], { encoding: "utf8", env });
  };

  it("stands in the way of adopting a server, and nobody else's does", () => {
    expect(told(RAY_UID)).toMatchObject({ status: 0, stdout: "", stderr: "" });
    const found = told(1001);
    expect(found).toMatchObject({ status: 0, stderr: "" });
    expect(found.stdout).toMatch(
      /^the uid 1001 is that of admin2 here.*give admin2 another one, or .*enabled: false/,
    );
  });

  it("is looked for where the stack has Ray alone", () => {
    const body = (more: object) => stageBody(renderPreflight({ ...asked(plan(more)), node: "metal-0" }));
    expect(body({})).toContain(`ray_uid=${RAY_UID}`);
    expect(body({ ray: { enabled: false } })).not.toContain(`ray_uid=${RAY_UID}`);
  });
});
