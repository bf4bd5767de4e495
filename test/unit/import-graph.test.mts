/**
 * The floors of the repository, read from its imports. Proves: no circle, nothing imports from a floor above its own, nothing of
 * the product imports from the tests, core/manager comes to the rest of core by its doors, and no source file is left that
 * nothing imports. Types count as imports.
 */
import { join } from "node:path";
import { cruise, type ICruiseResult, type IForbiddenRuleType } from "dependency-cruiser";
import { beforeAll, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");
/** Which images there are, read by what builds them too. */
const CATALOGUE = "scripts/image/catalog.cjs$";
/** Each floor with what it may import from, beside itself: beginnings of paths. */
const floors: Record<string, readonly string[]> = {
  core: [],
  config: ["core"],
  "cloud-init": ["core", "config"],
  agent: ["core"],
  plugins: ["core"],
  components: ["core", "config", "cloud-init", "sdks", CATALOGUE],
  policy: ["core", "config", "components"],
  "index.ts": ["core", "config", "components"],
  scripts: ["core", "config", "components", "agent", "policy", "plugins", "cloud-init"],
};
const names = Object.keys(floors);

const upward = names.map(
  (name): IForbiddenRuleType => ({
    name: `${name} imports from ${["itself", ...(floors[name] ?? [])].join(", ")}`,
    severity: "error",
    from: { path: `^${name}` },
    to: {
      path: "^[a-z]",
      pathNot: ["node_modules", ...[name, ...(floors[name] ?? [])].map((one) => `^${one}`)],
      dependencyTypesNot: ["core", "npm", "npm-dev", "npm-optional", "npm-peer"],
    },
  }),
);

let result: ICruiseResult;
beforeAll(async () => {
  const { output } = await cruise(names, {
    baseDir: root,
    validate: true,
    ruleSet: {
      forbidden: [
        { name: "no circle", severity: "error", from: {}, to: { circular: true } },
        {
          name: "no source that nothing imports",
          severity: "error",
          from: { orphan: true, pathNot: "[.]d[.]ts$" },
          to: {},
        },
        {
          name: "core/manager imports the other folders of core through their index.ts",
          severity: "error",
          from: { path: "^core/manager/" },
          to: { path: "^core/(?!manager/)[^/]+/", pathNot: "/index[.]ts$" },
        },
        ...upward,
      ],
    },
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    exclude: { path: "(^|/)(node_modules|test)/" },
  });
  if (typeof output === "string") throw new Error(output);
  result = output;
}, 120_000);

it("has seen the whole repository", () => {
  expect(result.summary.totalCruised).toBeGreaterThan(500);
});

it("has no circle, no upward arrow, no way past a door of core and no file that nothing imports", () => {
  const found = result.summary.violations.map(({ rule, from, to, cycle }) => {
    const way = cycle?.map(({ name }) => name).join(" → ") ?? (to === from ? "" : to);
    return `${rule.name}: ${from} → ${way}`;
  });
  expect(found).toEqual([]);
});
