/**
 * The variables of a container. Proves: no name gets through that an engine or a shell would read as something else, sizes are
 * bounded as the kernel counts them, and no value is ever repeated.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { environmentSchema } from "../../../../core/manager";
import { issueTexts } from "../../../../core/problems";

/** As whoever sends a request reads them. @param at where the variables stand */
function environmentProblems(record: unknown, at: readonly PropertyKey[] = []): string[] {
  const { error } = environmentSchema.safeParse(record);
  return error === undefined ? [] : issueTexts(error, at);
}

describe("variables", () => {
  it.each([
    [{}],
    [{ NODE_ENV: "development", _: "", a9: "x=y" }],
    [{ KEY: "-----BEGIN-----\nline\n" }],
    [{ NVIDIA_TF32_OVERRIDE: "0", ["A".repeat(128)]: "" }],
    [{ LONG: "x".repeat(32_768) }],
  ])("may be: %#", (record) => {
    expect(environmentProblems(record)).toEqual([]);
  });

  it.each(["", "A=B", "A\nB", "A\0", "A B", "9A", "A-B", "Ä", "A".repeat(129), "$(id)"])(
    "may not be called %j",
    (name) => {
      expect(environmentProblems({ [name]: "x" }).join()).toContain("is no name of a variable");
    },
  );

  it.each(["NVIDIA_VISIBLE_DEVICES", "NVIDIA_MIG_CONFIG_DEVICES", "NVIDIA_REQUIRE_CUDA"])(
    "may not be %s, which says what GPUs the container has",
    (name) => {
      expect(environmentProblems({ [name]: "all" }, ["envVars"])).toEqual([
        `envVars.${name}: is set by Berth: GPUs come by grant alone; leave it out`,
      ]);
    },
  );

  it("that are wrong are named all at once, and no value with them", () => {
    const said = environmentProblems(
      { "A B": "hunter2", OK: "hunter2\0", LONG: "hunter2".repeat(5000), NVIDIA_GDS: "hunter2" },
      ["envVars"],
    );
    expect(said).toHaveLength(4);
    for (const name of ["A B", "OK", "LONG", "NVIDIA_GDS"])
      expect(said.filter((line) => line.startsWith(`envVars.${name}: `))).toHaveLength(1);
    expect(said.join()).not.toContain("hunter2");
  });

  it("are counted in bytes, with '=' and NUL: 131,072 of them and no more", () => {
    const full = Object.fromEntries(["A", "B", "C", "D"].map((name) => [name, "x".repeat(32_765)]));
    expect(environmentProblems(full)).toEqual([]);
    expect(environmentProblems({ ...full, D: `${"x".repeat(32_764)}é` }, ["env"])).toEqual([
      "env: 131073 bytes in all, and 131072 are allowed",
    ]);
  });

  it("are texts by name", () => {
    for (const other of [null, "A=B", ["A=B"], { A: 1 }, { A: null }])
      expect(environmentProblems(other)).toHaveLength(1);
  });

  it("get through with names of letters, digits and '_' alone, whatever is sent", () => {
    const name = fc.string({ unit: fc.constantFrom("A", "z", "_", "9", "=", "\n", "\0", "ä"), maxLength: 4 });
    fc.assert(
      fc.property(fc.dictionary(name, fc.string()), (record) => {
        if (environmentProblems(record).length > 0) return;
        for (const [key, value] of Object.entries(record)) {
          expect(key).toMatch(/^[A-Za-z0-9_]+$/);
          expect(value).not.toContain("\0");
        }
      }),
    );
  });
});
