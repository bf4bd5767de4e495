/**
 * Who has Ray's token: what the configuration takes, what workspaces get, and when the token is another one.
 * Proves: a name that nobody has is refused at once; whoever is taken out loses the token and knows no valid one; nobody's
 * Ray starts anew when somebody is added, and not at all in a stack without a list. That Ray refuses an old token is
 * tried in test/e2e.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stub } from "../../../../components/gpu/stub";
import { nextToken, type TokenInputs } from "../../../../components/ray/generation";
import { provider } from "../../../../components/ray/token-provider";
import { hasRay } from "../../../../config";
import { must } from "../../../lib/run";
import { load, problems } from "../../config/helpers";
import { localStack, of, runCluster, type Seen } from "../cluster-recorder";

const alice = { name: "alice", node: "node-0", index: 0 };
const bob = { name: "bob", node: "node-1", index: 1 };
const carol = { name: "carol", node: "node-1", index: 2 };
const stack = (access?: unknown, users: object[] = [alice, bob, carol]) =>
  localStack(users, access === undefined ? {} : { ray: { access } });

describe("berth:ray.access", () => {
  it.each<[string, unknown, string[]]>([
    ["left out: everybody", undefined, ["alice", "bob", "carol"]],
    ["empty: nobody", [], []],
    ["some", ["carol", "alice"], ["alice", "carol"]],
  ])("%s", (_, access, expected) => {
    const plan = load(stack(access));
    expect(plan.users.map(({ name }) => name).filter((name) => hasRay(plan, name))).toEqual(expected);
  });

  it("gives nobody a token where Ray is off", () => {
    const plan = load(localStack([alice], { ray: { enabled: false, access: ["alice"] } }));
    expect(hasRay(plan, "alice")).toBe(false);
  });

  it.each<[string, unknown, object[] | undefined, string, RegExp]>([
    [
      "a name of nobody",
      ["alice", "mallory"],
      undefined,
      "ray.access[1]",
      /^users of it \(alice, bob, carol\)/,
    ],
    ["another spelling", ["Alice"], undefined, "ray.access[0]", /alice, bob, carol/],
    ["a user of before", ["bob"], [alice], "ray.access[0]", /^users of it \(alice\)/],
    ["anybody in a stack of nobody", ["alice"], [], "ray.access[0]", /^nobody/],
    ["one name twice", ["bob", "bob"], undefined, "ray.access[1]", /once/],
    ["no list", "alice", undefined, "ray.access", /list/],
    ["all", "all", undefined, "ray.access", /list/],
    ["a number", [7], undefined, "ray.access[0]", /text/],
  ])("refuses %s", (_, access, users, path, allowed) => {
    const found = problems(stack(access, users));
    expect(found.map((problem) => problem.path)).toEqual([`berth:${path}`]);
    expect(found[0]?.allowed).toMatch(allowed);
  });
});

describe("the token's generation", () => {
  let made = 0;
  const fresh = () => `g${++made}`;
  const edited = (before: Partial<TokenInputs>, access: string[], without: string[]) =>
    nextToken(before, { access, without }, fresh);
  const begin = () => edited({}, ["alice", "bob"], ["carol"]);

  it.each<[string, (first: Required<TokenInputs>) => Required<TokenInputs>, "stays" | "changes"]>([
    ["nothing changed", (first) => edited(first, ["bob", "alice"], ["carol"]), "stays"],
    ["somebody got it", (first) => edited(first, ["alice", "bob", "carol"], []), "stays"],
    ["somebody without it came", (first) => edited(first, ["alice", "bob"], ["carol", "dave"]), "stays"],
    ["somebody with it left the stack", (first) => edited(first, ["alice"], ["carol"]), "stays"],
    ["it was taken from somebody", (first) => edited(first, ["alice"], ["bob", "carol"]), "changes"],
    ["it was taken from everybody", (first) => edited(first, [], ["alice", "bob", "carol"]), "changes"],
    [
      "somebody who had it came back without it",
      (first) => edited(edited(first, ["alice"], ["carol"]), ["alice"], ["bob", "carol"]),
      "changes",
    ],
    [
      "it was taken from somebody who got it later",
      (first) => edited(edited(first, ["alice", "bob", "carol"], []), ["alice", "bob"], ["carol"]),
      "changes",
    ],
  ])("%s: it %3$s", (_, edit, expected) => {
    const first = begin();
    const last = edit(first);
    expect(last.generation === first.generation ? "stays" : "changes").toBe(expected);
  });

  it("is never known by somebody who lives in the stack without access, and changes for no other reason", () => {
    const people = ["a", "b", "c", "d"];
    const step = fc.record(
      Object.fromEntries(people.map((name) => [name, fc.constantFrom("with", "without", "gone")])),
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
        let state: Partial<TokenInputs> = {};
        const knew = new Map<string, Set<string>>();
        for (const where of steps as Record<string, string>[]) {
          const by = (what: string) => people.filter((name) => where[name] === what);
          const before: Partial<TokenInputs> = state;
          const next = edited(before, by("with"), by("without"));
          const heard = knew.get(next.generation) ?? new Set();
          for (const name of by("with")) heard.add(name);
          knew.set(next.generation, heard);
          expect(by("without").filter((name) => heard.has(name))).toEqual([]);
          const had = knew.get(before.generation ?? "") ?? new Set();
          if (before.generation !== undefined && next.generation !== before.generation)
            expect(by("without").some((name) => had.has(name))).toBe(true);
          state = next;
        }
      }),
    );
  });

  it("is an update in place, seen in a preview, and none when only the list's order changed", async () => {
    const inputs = { access: ["bob", "alice"], without: ["carol"], __provider: "code" };
    const { inputs: olds } = await provider.check({}, inputs);
    expect(olds.generation).toMatch(/^[0-9a-f]{16}$/);
    const same = (await provider.check(olds, { ...inputs, access: ["alice", "bob"] })).inputs;
    expect(await provider.diff("ray-token", olds, same)).toEqual({ changes: false, replaces: [] });
    const taken = (await provider.check(olds, { ...inputs, access: ["alice"], without: ["bob", "carol"] }))
      .inputs;
    expect(taken.generation).not.toBe(olds.generation);
    expect(await provider.diff("ray-token", olds, taken)).toEqual({ changes: true, replaces: [] });
    // A refresh gives back what is there; an update that was cut off is the same one the next time.
    expect(await provider.read("ray-token", olds)).toEqual({ id: "ray-token", props: olds, inputs: olds });
    expect((await provider.update("ray-token", olds, taken)).outs).toEqual(taken);
  });
});

describe("the code in the state", () => {
  it("runs the provider of the project that it is called in", async () => {
    const script = `
      const handler = (() => { const exports = {}; new Function("exports", "require", process.argv[1])(exports, require); return exports.handler(); })();
      handler.check({}, { access: ["bob"], without: [] }).then(({ inputs }) => console.log(JSON.stringify([Object.keys(handler), inputs.knows])));`;
    const { stdout } = await must(process.execPath, ["-e", script, stub("./components/ray/load.cjs")]);
    expect(JSON.parse(stdout)).toEqual([["check", "diff", "create", "read", "update", "delete"], ["bob"]]);
  });
});

describe("a cluster", () => {
  const json = (seen: Seen[], name: string) => {
    const found = seen.find((one) => one.name === name)?.inputs.stdin;
    const text = typeof found === "string" ? found : (found as { value?: string }).value;
    return JSON.parse(text ?? "");
  };
  const tokens = (seen: Seen[]) => ({
    ray: json(seen, "berth-node-0-ray-token").token as string,
    others: [json(seen, "berth-node-1-ray-token").token as string],
    users: Object.fromEntries(
      ["alice", "bob", "carol"].map((user) => {
        const files = json(seen, `berth-workspace-${user}-prepare`);
        return [user, [JSON.parse(files["secrets.json"]).rayToken, JSON.parse(files["workspace.json"]).ray]];
      }),
    ),
  });

  it("gives everybody the same token as ever without a list, and keeps nothing about it", async () => {
    const seen = await runCluster(stack(), false);
    const { ray, others, users } = tokens(seen);
    expect(of(seen, "pulumi-nodejs:dynamic/berth:RayToken")).toEqual([]);
    expect([...others, ...Object.values(users).map(([token]) => token)]).toEqual([ray, ray, ray, ray]);
  }, 60_000);

  it.each([[["alice"]], [[]]])(
    "with the list %j gives it to nobody else, and it is another one",
    async (access) => {
      const without = await runCluster(stack(), false);
      const made = await runCluster(stack(access), false);
      const before = tokens(without);
      const { ray, others, users } = tokens(made);
      expect(ray).toMatch(/^[0-9a-f]{64}$/);
      expect(ray).not.toBe(before.ray);
      expect(others).toEqual([ray]);
      // Another generation is another container: what was left in the files of the one before is not started again.
      for (const [said, generations] of [
        [made, 1],
        [without, 0],
      ] as const) {
        const envs = said.flatMap(({ name, inputs }) =>
          /^berth-node-\d-ray$/.test(name) && Array.isArray(inputs.envs) ? [inputs.envs as string[]] : [],
        );
        expect(envs.length).toBe(2);
        for (const env of envs)
          expect(env.filter((one) => /^BERTH_RAY_GENERATION=[0-9a-f]{16}$/.test(one)).length).toBe(
            generations,
          );
      }
      for (const [user, [token, addresses]] of Object.entries(users)) {
        const has = (access as string[]).includes(user);
        expect([user, token]).toEqual([user, has ? ray : undefined]);
        expect(addresses === undefined).toBe(!has);
      }
    },
    60_000,
  );
});

describe("the guides", () => {
  // Without a working directory a job finds none of the files that its command names.
  it("hand a job its files wherever its command names one", () => {
    const guides = ["README.md", ...readdirSync("docs").filter((name) => name.endsWith(".md"))];
    const text = guides.map((name) => readFileSync(join(name === "README.md" ? "." : "docs", name), "utf8"));
    const jobs = text.flatMap((guide) => guide.match(/ray job submit .*/g) ?? []);
    const ofFiles = jobs.filter((job) => /\.(py|sh)\b/.test(job));
    expect(ofFiles.length).toBeGreaterThan(0);
    for (const job of ofFiles) expect(job).toMatch(/^ray job submit (.* )?--working-dir \S+ (.* )?-- /);
  });
});
