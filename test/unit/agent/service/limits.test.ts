/** The limits document on a node: read, changed, broken, mended. Real files. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LimitsSource } from "../../../../agent/src/service/limits";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-limits-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const file = () => join(folder, "limits.json");
const lastGood = () => join(folder, "state", "limits.last-good.json");
const write = (document: unknown) =>
  writeFileSync(file(), typeof document === "string" ? document : JSON.stringify(document));
const staff = (max: number | null) => ({ groups: { staff: { max_mig_instances: max } } });
function source() {
  const events: string[] = [];
  const limits = new LimitsSource({
    file: file(),
    lastGood: lastGood(),
    account: (user) => (user === "alice" ? { known: true, group: "staff" } : { known: false }),
    onEvent: (level, event) => events.push(`${level} ${event}`),
  });
  return { limits, events };
}
const max = (limits: LimitsSource) => limits.of("alice")?.max_mig_instances;

describe("a limits document", () => {
  it("that is not there leaves the built-in ones", () => {
    const { limits, events } = source();
    expect(max(limits)).toMatchObject({ rule: "defaults" });
    expect(limits).toMatchObject({ problem: undefined, closed: undefined });
    expect(events).toEqual([]);
  });

  it("knows the stack's users, members of groups and those with an override, and nobody else", () => {
    write({ groups: { staff: { members: ["bob"] } }, user_overrides: { carol: { max_mig_instances: 4 } } });
    const { limits } = source();
    expect(limits.of("alice")?.group).toBe("staff");
    expect(limits.of("bob")?.group).toBe("staff");
    expect(limits.of("carol")?.max_mig_instances).toEqual({ value: 4, rule: "user_overrides.carol" });
    expect(limits.of("mallory")).toBeUndefined();
    expect(limits.of("__proto__")).toBeUndefined();
  });

  it("that changes is in force at once, and is told once", () => {
    write(staff(1));
    const { limits, events } = source();
    let told = 0;
    limits.onChange(() => told++);
    expect(max(limits)).toEqual({ value: 1, rule: "groups.staff" });
    write(staff(2));
    limits.reload();
    limits.reload();
    expect(max(limits)?.value).toBe(2);
    expect(told).toBe(1);
    expect(events).toEqual(["info limits-changed"]);
  });

  it.each([
    ["no JSON", '{"groups":'],
    ["of another shape", '{"groups":{"staff":{"max_mig_instances":"many"}}}'],
    ["with an unknown key", '{"grups":{}}'],
    ["empty", ""],
  ])("%s leaves the last good one in force, and says so once and loudly", (_name, broken) => {
    write(staff(2));
    const { limits, events } = source();
    write(broken);
    limits.reload();
    limits.reload();
    expect(max(limits)?.value).toBe(2);
    expect(limits.problem).toContain(file());
    expect(limits.closed).toBeUndefined();
    expect(events).toEqual(["error limits-refused"]);
    // Over a restart too.
    const next = source();
    expect(max(next.limits)?.value).toBe(2);
    expect(next.limits.problem).toContain("The last good limits stay in force");
    write(staff(3));
    next.limits.reload();
    expect(max(next.limits)?.value).toBe(3);
    expect(next.limits.problem).toBeUndefined();
  });

  it("that is good again as it was ends the complaint", () => {
    write(staff(2));
    const { limits, events } = source();
    write("{");
    limits.reload();
    write(staff(2));
    limits.reload();
    expect(limits.problem).toBeUndefined();
    expect(events).toEqual(["error limits-refused", "info limits-changed"]);
  });

  it("that was never good closes the ledger, and names nobody to users", () => {
    write({ user_overrides: { bob: { max_mig_instances: "many" } } });
    const { limits } = source();
    expect(limits.closed).toBe("there is no usable limits document");
    expect(limits.problem).toContain("bob");
    write("{");
    rmSync(lastGood(), { force: true });
    expect(source().limits.closed).toBeDefined();
  });

  it("whose last good copy is broken too closes the ledger", () => {
    write(staff(2));
    source();
    expect(existsSync(lastGood())).toBe(true);
    write("{");
    writeFileSync(lastGood(), "[]");
    const { limits } = source();
    expect(limits.closed).toBeDefined();
    expect(limits.problem).toContain("limits.last-good.json");
  });
});
