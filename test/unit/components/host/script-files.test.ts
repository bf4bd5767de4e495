/**
 * The files that run on nodes and in workspaces, each by itself.
 * Proves: shellcheck finds nothing in a script, Python compiles each program, and the header of a file stays here.
 */
import { spawnSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { scriptsOf } from "../../../../components/host/script";
import { missing, shellcheck } from "../../../lib/programs";

describe.each(globSync(["components/**/*.sh", "scripts/node/*.sh"]).sort())("%s", (file) => {
  const text = readFileSync(file, "utf8");

  it("tells its shell, in a header that ends", () => {
    expect(text).toMatch(/^# shellcheck shell=(ba)?sh\n/);
    expect(text).toContain("\n# ---\n");
  });

  // 2317, 2329: who calls a function of a library stands in another file.
  it.skipIf(missing("shellcheck"))("passes shellcheck", () => {
    expect(shellcheck(text, "-e", "SC2317,SC2329")).toBe("");
  });
});

it("has programs that Python compiles", () => {
  const files = globSync("components/**/*.py").sort();
  expect(files).not.toEqual([]);
  const compile =
    "import sys\nfor name in sys.argv[1:]: compile(open(name, encoding='utf-8').read(), name, 'exec')";
  const { stderr, status } = spawnSync("python3", ["-c", compile, ...files], { encoding: "utf8" });
  expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
});

describe("scriptsOf", () => {
  it("leaves out the header, and the empty lines at both ends; a file without a header is whole", () => {
    const folder = mkdtempSync(join(tmpdir(), "berth-scripts-"));
    try {
      writeFileSync(
        join(folder, "a.sh"),
        "# shellcheck shell=bash\n# What it does.\n# ---\n# a comment\necho a\n\n",
      );
      writeFileSync(join(folder, "b.py"), "#!/usr/bin/python3\nprint()\n");
      const script = scriptsOf(folder);
      expect(script("a.sh")).toBe("# a comment\necho a");
      expect(script("b.py")).toBe("#!/usr/bin/python3\nprint()");
      expect(() => script("c.sh")).toThrow(/no such file/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
