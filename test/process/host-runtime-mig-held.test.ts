/**
 * Who is asked before GPUs are divided anew, and what is left of a layout that was refused; GPUs that cannot have the
 * stack's default. The program that runs on the node is the real one, with the stand-ins of host-runtime-mig-helpers;
 * `berth` answers as berthd's `GET /api/declared` does.
 * Proves: a grant of berthd's ledger keeps a GPU as it is, used or not; without an answer nothing is changed; nothing can
 * be granted between that look and the cut; a start of the machine applies what was taken up last, never what was refused.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, statSync, symlinkSync, utimesSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { NvidiaOptions } from "../../components/host/runtime";
import { A, B, mig, migMachine } from "../unit/components/host/runtime-mig-helpers";

const asRoot = describe.runIf(process.getuid?.() === 0);
const { at, read, calls, tool, node, migParted, run, applies, boot, holder, berth } = migMachine();

const sevenths = mig({ gpu: 0, layout: "all-1g.10gb" });
const halves = mig({ gpu: 0, layout: "all-3g.40gb" });
/** Two GPUs in MIG mode: a change of one does not concern the other. */
const divided = () =>
  node([
    { uuid: A, mode: "Enabled" },
    { uuid: B, mode: "Enabled" },
  ]);
const asked = () => calls().filter((call) => call.startsWith("berth "));

const unit = (gpu: string, name: string) => ({
  uuid: `MIG-${name}`,
  gpu,
  name,
  model: "H100",
  memoryMiB: 9728,
});
const grant = (changes: object = {}) => ({
  id: "g7",
  user: "alice",
  state: "held",
  purpose: "train",
  units: [unit(A, "0:1")],
  ...changes,
});
const ledger = (...grants: object[]) =>
  berth(`cat <<'JSON'\n${JSON.stringify({ assignment: {}, inventory: { gpus: [] }, grants })}\nJSON`);

function refused(nvidia: NvidiaOptions, ...texts: string[]): void {
  const { status, stderr } = run(nvidia);
  expect(status).not.toBe(0);
  for (const text of [...texts, "nothing was changed"]) expect(stderr).toContain(text);
}

asRoot("a GPU that somebody holds in berthd's ledger", () => {
  it.each<[string, object, string]>([
    ["a stopped container's", {}, "alice holds 0:1 (train, held, grant g7)"],
    [
      "a reservation's",
      { state: "reserved", units: [unit(A, "0:1"), unit(B, "1:0"), unit(A, "0:2")] },
      "alice holds 0:1, 0:2 (train, reserved, grant g7)",
    ],
    [
      "a declared one's",
      { state: "bound", key: "workspace/alice", purpose: "ws-alice" },
      "alice holds 0:1 (workspace/alice, bound, grant g7)",
    ],
  ])("is not divided anew: %s", (_, changes, text) => {
    divided();
    ledger(grant(changes));
    refused(
      sevenths,
      `GPU 0 is to change, and in berthd's ledger ${text}`,
      "berth gpu release",
      "users[].gpu",
    );
    expect(asked()).toEqual(["berth declared show --json"]);
    expect(applies()).toEqual([]);
  });

  it("is asked of an older berth by the words that it knows", () => {
    divided();
    const answer = JSON.stringify({ assignment: {}, inventory: { gpus: [] }, grants: [grant()] });
    berth(`if [ "$1" = declared ]; then exit 2; fi; echo '${answer}'`);
    refused(sevenths, "in berthd's ledger alice holds 0:1");
    expect(asked()).toEqual(["berth declared show --json", "berth pool show --json"]);
  });

  it("is told beside those who use it", () => {
    divided();
    ledger(grant());
    holder(4242, "python3");
    refused(sevenths, "in use are: process 4242 (python3), and in berthd's ledger alice holds 0:1");
  });

  it("is no reason where only another GPU is divided, but is where all are reset", () => {
    divided();
    ledger(grant({ units: [unit(B, "1:0")] }), grant({ state: "released" }));
    expect(run(sevenths)).toMatchObject({ status: 0 });
    expect(applies()).toHaveLength(1);
    node([{ uuid: A }, { uuid: B, mode: "Enabled" }]);
    refused(halves, "which resets all GPUs, and in berthd's ledger alice holds 1:0");
    expect(applies()).toHaveLength(1);
  });

  it("is not asked for where the layout is right", () => {
    divided();
    expect(run(sevenths).status).toBe(0);
    berth("exit 1");
    expect(run(sevenths).facts).toMatchObject({ changed: [] });
    expect(asked()).toEqual([]);
  });

  it.each<[string, string, string]>([
    ["does not run", "echo 'berthd is not reached' >&2; exit 4", "status 4: berthd is not reached"],
    ["says nothing", "exec sleep 60", "timed out after 2 seconds"],
    ["says something else", 'echo \'{"grants": [{"id": 1}]}\'', "its answer is not understood"],
    ["says no JSON", "echo hello", "its answer is not understood: hello"],
  ])("may be any where berthd %s", (_, script, text) => {
    divided();
    berth(script);
    refused(
      sevenths,
      "berthd, which knows who holds the GPUs, does not tell",
      text,
      "systemctl status berthd",
    );
    expect(applies()).toEqual([]);
  });
});

asRoot("the lock", () => {
  /** What was locked, and how new it was, as each program saw it that was called meanwhile. */
  const LOOK = (who: string) =>
    `if flock -n ${"$"}{LOCK} true; then echo "${who} free" ; else echo "${who} locked"; fi >>"${"$"}{LOCK%/etc/berth/mig.lock}/seen"`;
  const seen = () => read("seen").trim().split("\n");
  const look = (who: string) => `LOCK=${at("etc/berth/mig.lock")}; ${LOOK(who)}`;

  it("is held from before berthd is asked until the GPUs are divided, and by the tool itself", () => {
    divided();
    symlinkSync(execFileSync("which", ["flock"], { encoding: "utf8" }).trim(), at("bin/flock"));
    berth(`${look("berth")}\necho '{"grants": []}'`);
    migParted(
      `${look("tool")}; [ -e /proc/self/fd ] && ls -l /proc/$$/fd | grep -q mig.lock && echo "tool has it" >>${at("seen")}; block "$label" "$file" >${at("applied")}-"$label"`,
    );
    const before = Date.now() - 1000;
    expect(run(sevenths)).toMatchObject({ status: 0 });
    expect(seen()).toEqual(["berth locked", "tool locked", "tool has it"]);
    const { mode, mtimeMs } = statSync(at("etc/berth/mig.lock"));
    expect([mode & 0o777, mtimeMs > before]).toEqual([0o600, true]);
    expect(spawnSync("flock", ["-n", at("etc/berth/mig.lock"), "true"]).status).toBe(0);
  });

  it("is not taken where nothing is to be divided, and its time stays where it was refused", () => {
    divided();
    expect(run(sevenths)).toMatchObject({ status: 0 });
    utimesSync(at("etc/berth/mig.lock"), 1000, 1000);
    expect(run(sevenths)).toMatchObject({ status: 0 });
    ledger(grant());
    refused(halves, "alice holds 0:1");
    expect(statSync(at("etc/berth/mig.lock")).mtimeMs).toBe(1_000_000);
    ledger();
    expect(run(halves)).toMatchObject({ status: 0 });
    expect(statSync(at("etc/berth/mig.lock")).mtimeMs).toBeGreaterThan(1_000_000);
  });

  it("goes with the layout", () => {
    divided();
    expect(run(sevenths)).toMatchObject({ status: 0 });
    expect(run({})).toMatchObject({ status: 0 });
    expect(existsSync(at("etc/berth/mig.lock"))).toBe(false);
  });
});

asRoot("a layout that was refused", () => {
  it("is not what the next start applies: the one before is", () => {
    divided();
    expect(run(sevenths).facts.changed).toContain(at("etc/berth/mig.json"));
    const [request, config] = [read("etc/berth/mig.json"), read("etc/berth/mig.yaml")];
    ledger(grant());
    refused(halves, "alice holds 0:1");
    expect([read("etc/berth/mig.json"), read("etc/berth/mig.yaml")]).toEqual([request, config]);
    expect(boot()).toMatchObject({ status: 0, stdout: "" });
    // Free again, it is taken up.
    ledger();
    expect(run(halves).facts.changed).toContain("MIG of GPU 0: 2 x 3g.40gb");
    expect(read("etc/berth/mig.json")).toContain("all-3g.40gb");
  });

  it("is not applied at the next start either where there was none before", () => {
    divided();
    holder(4242, "python3");
    refused(sevenths, "process 4242 (python3)");
    expect(existsSync(at("etc/berth/mig.json"))).toBe(false);
    expect(boot()).toMatchObject({ status: 0, stdout: "", stderr: "" });
    expect(applies()).toEqual([]);
  });

  it("by the GPU itself is not taken up, one that waits for the next start is", () => {
    divided();
    migParted("echo 'in use by another client' >&2; exit 1");
    expect(run(sevenths).stderr).toContain("could not divide GPU 0");
    expect(existsSync(at("etc/berth/mig.json"))).toBe(false);
    node([{ uuid: A, mode: "Disabled", pending: "Enabled" }]);
    expect(run(sevenths).facts.rebootRequired).toContain("MIG mode of GPU 0 changes at the next start");
    expect(read("etc/berth/mig.json")).toContain("all-1g.10gb");
    // It waits with what was checked; another one is checked again.
    ledger(grant());
    expect(run(sevenths).facts.rebootRequired).toContain("at the next start");
    refused(halves, "alice holds 0:1");
    expect(read("etc/berth/mig.json")).toContain("all-1g.10gb");
  });
});

asRoot("the default for all nodes", () => {
  const standard = (layout: string) => mig({ gpu: "all", layout, optional: true });

  it("leaves GPUs as they are that cannot be divided or lack the profile, and needs no tool for that", () => {
    node([{ uuid: A, name: "NVIDIA L40S", mode: "[N/A]" }], false);
    expect(run(standard("all-1g.10gb"))).toMatchObject({ status: 0, stderr: "" });
    node([{ uuid: A }], false);
    expect(run(standard("all-1g.5gb"))).toMatchObject({ status: 0, stderr: "" });
    expect(boot()).toMatchObject({ status: 0, stdout: "" });
  });

  it("divides those that have it", () => {
    node([{ uuid: A, name: "NVIDIA L40S", mode: "[N/A]" }, { uuid: B }]);
    expect(run(standard("all-1g.10gb")).facts.changed).toContain("MIG of GPU 1: 7 x 1g.10gb");
    expect(applies()).toHaveLength(1);
  });

  it("is an error where the operator wrote it", () => {
    node([{ uuid: A }], false);
    tool("nvidia-mig-parted", "exit 0");
    expect(run(mig({ gpu: "all", layout: "all-1g.5gb" })).stderr).toContain("has no MIG profile 1g.5gb");
  });
});
