/**
 * Which ledger the agent stage goes back to when runs were cut or failed before it.
 * Proves: what was granted or revoked since the ledger was copied is never undone by a later run; the copy is still
 * there where nothing was granted since, also when a newer version has changed the ledger; half a copy is never used.
 * Does not prove that berthd's event log says when it begins to grant: test/unit/components/agent/agent.test.ts has its words.
 */
import { spawnSync } from "node:child_process";
import { appendFileSync, readlinkSync, rmSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { agentMachine } from "./agent-machine";

const asRoot = describe.runIf(process.getuid?.() === 0);
const [one, two, three] = ["111111111111", "222222222222", "333333333333"];
const ledger = "var/lib/berth/agent/ledger.db";
const before = "var/lib/berth/agent-before";

// Each runs the whole script two or three times.
asRoot("the ledger that the agent stage goes back to", { timeout: 180_000 }, () => {
  const machine = agentMachine();
  const { at, read, write, run, exists } = machine;
  const current = () => readlinkSync(at("usr/local/lib/berth/agent/current"));
  const event = (name: string) => spawnSync(at("bin/event"), [name]);
  /** What berthd has written down since. */
  const grants = () => {
    appendFileSync(at(ledger), "a week of grants\n");
    event("granted");
  };
  /** The run ends after that command of systemctl; nothing behind it is done. */
  const cutAt = (version: string, command: string) => {
    write(`cut/${command}`, "");
    expect(run(version).status).not.toBe(0);
    expect(exists(`cut/${command}`)).toBe(false);
    expect(exists("var/lib/berth/pending/berthd")).toBe(true);
  };
  /** A run to that version, which does not start, ends with the other. */
  const goesBack = (version: string, last: string) => {
    write(`broken/${version}`, "");
    const { status, stderr } = run(version);
    expect(status).not.toBe(0);
    expect(stderr).toContain(`The one before, ${last}, runs again with its own files and ledger`);
    expect([current(), exists("active")]).toEqual([last, true]);
  };

  it("has what the new one granted after a run was cut behind its start", () => {
    run(one);
    cutAt(two, "restart");
    grants();
    goesBack(three, two);
    expect(read(ledger)).toBe(`ledger of ${one}\nledger of ${two}\na week of grants\n`);
  });

  it("has it also when that one is stopped by now, and without a line of a grant", () => {
    run(one);
    cutAt(two, "restart");
    appendFileSync(at(ledger), "a week of grants\n");
    rmSync(at("active"));
    goesBack(three, two);
    expect(read(ledger)).toContain("a week of grants");
  });

  it("has it also when berthd's event log cannot be written", () => {
    run(one);
    cutAt(two, "restart");
    appendFileSync(at(ledger), "a week of grants\n");
    write("var/log/berth/events.jsonl", read("var/log/berth/events.jsonl").split("\n")[0] ?? "");
    goesBack(three, two);
    expect(read(ledger)).toContain("a week of grants");
  });

  it("has what the old one granted after neither had come up", () => {
    run(one);
    write(`broken/${two}`, "");
    // The old one starts again, and Docker hangs.
    machine.tool("journalctl", `: >${at(`unready/${one}`)}`);
    expect(run(two).stderr).toContain(`and ${one}, which ran before, does not either`);
    expect(read(ledger)).toBe(`ledger of ${one}\n`);
    machine.tool("journalctl", "true");
    rmSync(at(`unready/${one}`));
    event("ledger-open");
    grants();
    goesBack(two, one);
    expect(read(ledger)).toBe(`ledger of ${one}\na week of grants\n`);
  });

  it("has what the old one granted after a run was cut behind the copy", () => {
    run(one);
    machine.tool("mv", '/bin/mv "$@"; case $* in *ledger.new*) kill -9 $PPID ;; esac');
    expect(run(two).status).not.toBe(0);
    rmSync(at("bin/mv"));
    expect([current(), exists(`${before}/ledger`)]).toEqual([one, true]);
    // The node starts anew, and the old one with it.
    write("active", "");
    event("ledger-open");
    grants();
    goesBack(two, one);
    expect(read(ledger)).toBe(`ledger of ${one}\na week of grants\n`);
  });

  it.each(["revoked", "rotated"])("knows a %s token of one that was never ready", (how) => {
    run(one);
    write(`unready/${two}`, "");
    cutAt(two, "restart");
    appendFileSync(at(ledger), `a token ${how}\n`);
    event(`token-${how}`);
    goesBack(three, two);
    expect(read(ledger)).toContain(`a token ${how}`);
  });

  it("has what was granted between the look of a run and its stop", () => {
    run(one);
    write(`unready/${two}`, "");
    cutAt(two, "restart");
    // The check of the files is in between.
    write("image/bin/berthd", `#!/bin/sh\nrm ${at(`unready/${two}`)}\n${at("bin/event")} granted\n`);
    goesBack(three, two);
    expect(read(ledger)).toBe(`ledger of ${one}\nledger of ${two}\n`);
  });

  it.each([
    ["stop", one],
    ["daemon-reload", two],
  ])("is the copy, or a copy made then, after a cut at systemctl %s", (command, linked) => {
    run(one);
    cutAt(two, command);
    expect(current()).toBe(linked);
    goesBack(two, one);
    expect(read(ledger)).toBe(`ledger of ${one}\n`);
  });

  it.each([two, three])("is the copy where a newer one changed it and never granted, then %s", (next) => {
    run(one);
    write(`unready/${two}`, "");
    cutAt(two, "restart");
    expect(read(ledger)).toContain(`ledger of ${two}`);
    // Of berthd itself; it tells nothing of grants.
    event("ledger-closed");
    goesBack(next, one);
    expect(read(ledger)).toBe(`ledger of ${one}\n`);
  });

  it("is the copy when the run that put it back was cut, whatever the new one granted in its moment", () => {
    run(one);
    // It is ready, and ends before the stage has seen it stay.
    write(`crashes/${two}`, "");
    machine.tool("cp", 'case $* in *agent-before/ledger/*) kill -9 $PPID; exit 1 ;; esac; /bin/cp "$@"');
    expect(run(two).status).not.toBe(0);
    rmSync(at("bin/cp"));
    expect([current(), exists(ledger)]).toEqual([two, false]);
    goesBack(two, one);
    expect(read(ledger)).toBe(`ledger of ${one}\n`);
  });

  it("is never put beside the log of a copy that was cut", () => {
    run(one);
    write(`${ledger}-wal`, "the log of an older ledger");
    machine.tool("cp", '/bin/cp "$@"; case $* in *ledger.db-wal*) kill -9 $PPID ;; esac');
    expect(run(two).status).not.toBe(0);
    rmSync(at("bin/cp"));
    expect(exists(`${before}/ledger.new/ledger.db-wal`)).toBe(true);
    // berthd ran since, and took its log into the database.
    rmSync(at(`${ledger}-wal`));
    goesBack(two, one);
    expect([read(ledger), exists(`${ledger}-wal`)]).toEqual([`ledger of ${one}\n`, false]);
  });

  it("is a whole way back: half of one is not taken for it", () => {
    run(one);
    machine.tool("cp", 'case $* in *agent-before/files/*) kill -9 $PPID; exit 1 ;; esac; /bin/cp "$@"');
    write("var/lib/berth/pending/berthd", "");
    expect(run(two).status).not.toBe(0);
    rmSync(at("bin/cp"));
    expect([exists(before), exists("active")]).toEqual([true, true]);
    goesBack(two, one);
  });
});
