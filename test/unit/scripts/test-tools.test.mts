/** The programs that only tests need: which are missing, and what people read of it. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { findTool, missingTools, TEST_TOOLS, tellMissing } from "../../../scripts/lib/test-tools.mjs";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-tools-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function place(name: string): string {
  writeFileSync(join(folder, name), "");
  chmodSync(join(folder, name), 0o755);
  return join(folder, name);
}

it("counts a program as there when it is on the PATH, and only for the parts that need it", () => {
  const names = (part: string) => missingTools([part], { PATH: folder }).map(({ command }) => command);
  expect(names("unit")).toContain("shellcheck");
  expect(names("engine")).not.toContain("shellcheck");
  const path = place("shellcheck");
  expect(findTool("shellcheck", { PATH: folder })).toBe(path);
  expect(names("unit")).not.toContain("shellcheck");
});

it("tells of optional programs, and asks nobody to install what changes a computer", () => {
  const all = missingTools(["unit"], { PATH: folder });
  const told = tellMissing(TEST_TOOLS.filter(({ parts }) => parts.includes("unit")));
  expect(told).toMatch(
    /^NOT TESTED, for want of cloud-init: .* \(optional; Debian's package cloud-init\)\.$/m,
  );
  expect(told.split("\n").at(-1)).toBe(
    "To test it too: sudo apt-get install shellcheck openssh-server openssh-client python3",
  );
  expect(tellMissing(TEST_TOOLS.filter(({ optional }) => optional))).not.toContain("apt-get");
  expect(all.map(({ command }) => command)).toContain("zsh");
});

it("says what is not tested without it, and how to get it", () => {
  const missing = TEST_TOOLS.filter(({ command }) => ["sshd", "shellcheck"].includes(command));
  const told = tellMissing(missing);
  for (const { command, tests } of missing)
    expect(told).toContain(`NOT TESTED, for want of ${command}: ${tests}.`);
  expect(told.split("\n").at(-1)).toBe("To test it too: sudo apt-get install shellcheck openssh-server");
});
