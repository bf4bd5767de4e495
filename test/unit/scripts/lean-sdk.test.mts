import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { ROOT } from "../../../scripts/lib/paths.mjs";

/**
 * What a program prints as JSON by `say`, and how it ends. The SDK is changed for a whole process, so each gets one of its
 * own, and one with the SDK as it is to compare with.
 */
function outcome(program: string, lean: boolean, env: Record<string, string> = {}) {
  const source = `
    const { leanSdk } = require("./scripts/lib/lean-sdk.cjs");
    ${lean ? "leanSdk(); leanSdk();" : ""}
    const pulumi = require("@pulumi/pulumi");
    const say = (value) => console.log(JSON.stringify(value));
    const mocks = {
      call: () => ({}),
      newResource: ({ type, name, inputs }) => {
        if (name === "broken") throw new Error("no room for it");
        return { id: name + "-id", state: { ...inputs, made: "by the provider" } };
      },
    };
    class Thing extends pulumi.CustomResource {
      constructor(name, props = {}, opts = {}) {
        super("test:index:Thing", name, { given: undefined, never: undefined, made: undefined, ...props }, opts);
      }
    }
    // Pulumi says each error once too, however many promises it ends.
    const said = new Set();
    process.on("unhandledRejection", (error) => {
      if (!said.has(error)) say({ unhandled: error.message });
      said.add(error);
      process.exitCode = 3;
    });
    (async () => {
      await pulumi.runtime.setMocks(mocks, "project", "stack", ${"PREVIEW" in env});
      ${program}
    })();`;
  const { PULUMI_DEBUG_PROMISE_LEAKS: _, BERTH_DEBUG_LINES: __, ...outer } = process.env;
  try {
    const options = { cwd: ROOT, env: { ...outer, ...env }, encoding: "utf8", stdio: "pipe" } as const;
    return { out: execFileSync(process.execPath, ["-e", source], options), status: 0, errors: "" };
  } catch (error) {
    const { stdout, status, stderr } = error as { stdout: string; status: number; stderr: string };
    return { out: stdout, status, errors: stderr };
  }
}

/** Properties before and after they have a value, their names, copies, dependencies, and functions kept in the state. */
const READS = `
    const one = new Thing("one", { given: "mine", list: [1, { deep: pulumi.secret("hidden") }] });
    const early = one.given;
    say([await early.promise(), await one.made.promise(), await one.never.promise(), early === one.given]);
    say([await one.list.promise(), await one.list.isSecret, await one.never.isKnown]);
    say([await one.id.promise(), await one.urn.promise()]);

    const named = new Thing("named", { given: "mine" });
    say([Object.keys(named), "never" in named, Object.hasOwn(named, "made"), named.hasOwnProperty("other")]);
    const copy = { ...named };
    say([await copy.given.promise(), await pulumi.output(named).apply(({ made }) => made).promise()]);
    named.given = "another";
    say([named.given, Object.keys(named)]);

    const first = new Thing("first", { given: "a" });
    const second = new Thing("second", { given: first.made, other: pulumi.interpolate\`\${first.given}-\${first.id}\` });
    say([await second.given.promise(), await second.other.promise()]);
    say([...(await second.other.allResources())].map(({ __name }) => __name));
    say([...(await pulumi.output({ second }).apply((all) => all.second.other).allResources())].length);

    const kept = new Thing("kept", { given: "mine" });
    const { text } = await pulumi.runtime.serializeFunction(() => kept.given.get() + kept.made.get());
    say(text.match(/"(mine|by the provider)"/g));
    const later = new Thing("later", { given: "yours" });
    say([await later.given.promise(), Object.getOwnPropertyDescriptor(later, "given").get === undefined]);`;

const FAILS = `
    const thing = new Thing("broken", { given: "mine" });
    await thing.made.promise().catch((error) => say(error.message));
    await thing.never.promise().catch((error) => say(error.message));
    new Thing("broken", { given: "that nobody reads" });
    new Thing("taken", { __name: "a name that it has already" });
    new Thing("left out", { urn: "no property of its own" });`;

describe("a program with the lean SDK ends as with Pulumi's", () => {
  it.each([
    ["reads resources", READS, {}],
    ["reads resources in a preview", READS, { PREVIEW: "1" }],
    ["makes resources that fail", FAILS, {}],
    ["waits for a promise that never ends", 'new Thing("one", { given: new Promise(() => {}) });', {}],
  ])("where it %s", { timeout: 60_000 }, (_, program, env) => {
    const plain = outcome(program, false, env);
    expect(plain.out + plain.errors).not.toBe("");
    expect(outcome(program, true, env)).toEqual(plain);
  });
});

describe("the lean SDK", () => {
  it("makes no promises of properties that nobody reads", { timeout: 60_000 }, () => {
    const program = `
      const thing = new Thing("one", { given: "mine" });
      const late = (key) => Object.getOwnPropertyDescriptor(thing, key).get !== undefined;
      await thing.given.promise();
      say([late("given"), late("never"), late("made")]);`;
    expect(outcome(program, true).out).toBe("[false,true,true]\n");
    expect(outcome(program, false).out).toBe("[false,false,false]\n");
  });

  it("loads what few programs use with its first use", { timeout: 60_000 }, () => {
    const program = `
      const zod = require("zod");
      require("@pulumi/pulumi/runtime/closure/codePaths");
      const loaded = (path) => Object.keys(require.cache).filter((one) => one.includes(path)).length;
      const parts = ["pulumi/automation/", "zod/v4/locales/", "@npmcli/arborist/", "normalize-package-data/"];
      const before = parts.map(loaded);
      say(before.every((count) => count <= 2));
      say([typeof pulumi.automation.LocalWorkspace.create, zod.z.locales.de().localeError({ code: "custom" })]);
      const arborist = require("@npmcli/arborist");
      say(new arborist.Arborist({ path: "/" }) instanceof arborist.Arborist);
      const data = { name: "mine ", version: "1.0.0" };
      require("normalize-package-data")(data);
      say(data.name);
      say(parts.map(loaded).every((count, at) => count > before[at]));
      process.exit();`;
    const { out, status, errors } = outcome(program, true);
    expect({ errors, status }).toEqual({ errors: "", status: 0 });
    expect(out.trim().split("\n")).toEqual([
      "true",
      expect.stringMatching(/^\["function","Ungültige Eingabe"\]$/),
      "true",
      '"mine"',
      "true",
    ]);
  });

  it("sends an engine lines of debugging unless it is told that nobody asked, and warnings always", {
    timeout: 60_000,
  }, () => {
    const program = `
      const grpc = require("@grpc/grpc-js");
      const { EngineService } = require("@pulumi/pulumi/proto/engine_grpc_pb");
      const { Empty } = require("google-protobuf/google/protobuf/empty_pb");
      const lines = [];
      const engine = new grpc.Server();
      engine.addService(EngineService, {
        log: ({ request }, done) => { lines.push([request.getSeverity(), request.getMessage()]); done(null, new Empty()); },
      });
      const port = await new Promise((done) =>
        engine.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (_, port) => done(port)));
      require("@pulumi/pulumi/runtime/state").getStore().settings.options.engineAddr = "127.0.0.1:" + port;
      await pulumi.runtime.setMocks(mocks, "project", "stack", false);
      await new Thing("one", { given: "mine" }).given.promise();
      await pulumi.log.warn("still said");
      say(lines.filter(([severity]) => severity === 0).map(([, line]) => line.slice(0, 20)));
      say(lines.filter(([severity]) => severity > 0));
      process.exit();`;
    const all = '["Registering resource","RegisterResource RPC","RegisterResource RPC"]';
    const warning = '[[2,"still said"]]';
    expect(outcome(program, false).out).toBe(`${all}\n${warning}\n`);
    expect(outcome(program, true).out).toBe(`${all}\n${warning}\n`);
    expect(outcome(program, true, { BERTH_DEBUG_LINES: "true" }).out).toBe(`${all}\n${warning}\n`);
    expect(outcome(program, true, { BERTH_DEBUG_LINES: "false" }).out).toBe(`[]\n${warning}\n`);
  });
});
