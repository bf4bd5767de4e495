/** Functions over the protocol's own messages: wrong arguments, secrets in and out, errors without values. */
import provider from "@pulumi/pulumi/proto/provider_pb";
import struct from "google-protobuf/google/protobuf/struct_pb";
import { describe, expect, it } from "vitest";
import { Calls } from "../src/calls";
import { type Context, type FunctionType, ProviderError, type ProviderSpec, UNKNOWN } from "../src/index";
import { serviceOf } from "../src/service";

/** How each refusal of an unknown input ends. */
const WAY_OUT = "; what the official plugin takes beside these needs that plugin, see docs/plugins.md";

const SIG = "4dabf18193072939515e22adb298388d";
const secret = (value: unknown) => ({ [SIG]: "1b47061264138c4ac30d75fd1eb44270", value });
const TOKEN = "test:index/getGreeting:getGreeting";

const greeting: FunctionType = {
  inputs: {
    name: { type: "string", required: true },
    tone: { type: "string", public: true, default: "kind" },
    loud: { type: "boolean" },
    parts: {
      type: "array",
      items: {
        type: "object",
        properties: { text: { type: "string" }, kind: { type: "string", public: true } },
      },
    },
    filters: {
      type: "array",
      public: true,
      items: { type: "object", properties: { key: { type: "string" } } },
    },
  },
  invoke: ({ values }) => ({ outs: { text: `${values.tone} ${values.name}`, name: values.name ?? null } }),
};

/** Calls the function as gRPC does. */
function call(
  args: Record<string, unknown>,
  invoke: FunctionType["invoke"] = greeting.invoke,
  token = TOKEN,
): Promise<{ error?: string; value?: provider.InvokeResponse; lines: string[] }> {
  const lines: string[] = [];
  const calls = new Calls((_severity, _urn, message) => lines.push(message));
  const functions = { [TOKEN]: { ...greeting, invoke } };
  const spec: ProviderSpec = { name: "test", version: "1.0.0", resources: {}, functions };
  const service = serviceOf(spec, calls, { attach: () => {}, cancel: () => calls.cancel() });
  const request = new provider.InvokeRequest();
  request.setTok(token);
  request.setArgs(struct.Struct.fromJavaScript(args as never));
  return new Promise((resolve) => {
    const handler = service.invoke as unknown as (
      call: { request: provider.InvokeRequest },
      done: (error: { details?: string } | null, value?: provider.InvokeResponse) => void,
    ) => void;
    handler({ request }, (error, value) =>
      resolve(error === null ? { value, lines } : { error: error.details ?? "", lines }),
    );
  });
}

const failures = (value?: provider.InvokeResponse) =>
  value?.getFailuresList().map((failure) => [failure.getProperty(), failure.getReason()]);

describe("functions", () => {
  it("get checked arguments with defaults, and answer plain values", async () => {
    const { value } = await call({ name: "Ada", loud: null });
    expect(failures(value)).toEqual([]);
    expect(value?.getReturn()?.toJavaScript()).toEqual({ text: "kind Ada", name: "Ada" });
  });

  it("refuse wrong arguments, all at once, by name and without their values", async () => {
    let called = false;
    const { value } = await call({ nmae: "hunter22", loud: "hunter22", parts: [{ txt: "hunter22" }] }, () => {
      called = true;
      return {};
    });
    expect(failures(value)).toEqual([
      ["loud", "loud is a string; give it as a boolean"],
      [
        "nmae",
        `nmae is not known to test:index/getGreeting:getGreeting; allowed: filters, loud, name, parts, tone${WAY_OUT}`,
      ],
      ["parts[0].txt", `parts[0].txt is not known to parts[0] of ${TOKEN}; allowed: kind, text${WAY_OUT}`],
      ["name", "name is missing; give it as a string"],
    ]);
    expect(JSON.stringify(failures(value))).not.toContain("hunter22");
    expect(called).toBe(false);
  });

  it("refuse values that are not known yet, at any depth", async () => {
    const { value } = await call({ name: UNKNOWN, parts: [{ text: UNKNOWN }] });
    expect(failures(value)?.map(([property]) => property)).toEqual(["name", "parts"]);
    expect(failures(value)?.[0]?.[1]).toMatch(/^name is not known yet; .*Output form/);
  });

  it("see secret arguments plain, and answer nothing plain then", async () => {
    const { value } = await call({ name: "Ada", parts: [{ text: secret("hunter22") }] });
    expect(value?.getReturn()?.toJavaScript()).toEqual({ text: secret("kind Ada"), name: secret("Ada") });
  });

  it("may call parts of the answer secret", async () => {
    const { value } = await call({ name: "Ada" }, () => ({
      outs: { user: "ada", key: "hunter22" },
      secrets: [["key"]],
    }));
    expect(value?.getReturn()?.toJavaScript()).toEqual({ user: "ada", key: secret("hunter22") });
  });

  it("may refuse what the schema lets pass", async () => {
    const { value } = await call({ name: "Ada", loud: true }, () => ({
      failures: [{ property: "loud", reason: "does not go with a kind tone" }],
    }));
    expect(failures(value)).toEqual([["loud", "loud does not go with a kind tone"]]);
    expect(value?.getReturn()).toBeUndefined();
  });

  it("fail without values, though the SDK took the marks off, and quote what is public", async () => {
    const fails = (_args: unknown, ctx: Context): never => {
      ctx.log("info", "asking for hunter22");
      throw new ProviderError("no friendly greeting for hunter22");
    };
    const { error, lines } = await call({ name: "hunter22", tone: "friendly" }, fails);
    expect(error).toBe("no friendly greeting for [secret]");
    expect(lines).toEqual(["asking for [secret]"]);
  });

  it("quote what is public inside lists, whether all of it is or one property of each entry", async () => {
    const fails = (): never => {
      throw new ProviderError("no filter colour, no footnote, no hunter22");
    };
    const args = {
      name: "Ada",
      parts: [{ text: "hunter22", kind: "footnote" }],
      filters: [{ key: "colour" }],
    };
    expect((await call(args, fails)).error).toBe("no filter colour, no footnote, no [secret]");
  });

  it("that are not there are named beside those that are", async () => {
    for (const token of ["test:index/getOther:getOther", "constructor"]) {
      const { error } = await call({}, greeting.invoke, token);
      expect(error).toContain(
        `${token} is not part of Berth's test plugin 1.0.0, which has ${TOKEN}; install`,
      );
    }
  });
});
