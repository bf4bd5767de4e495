/** Secrets survive the way through a plugin, at the same places; nothing else changes. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  formatPath,
  getPath,
  hasUnknown,
  isSecretPath,
  markSecrets,
  redact,
  UNKNOWN,
  unwrapSecrets,
} from "../src/index";

const SIG = "4dabf18193072939515e22adb298388d";
const secret = (value: unknown) => ({ [SIG]: "1b47061264138c4ac30d75fd1eb44270", value });

describe("unwrapSecrets", () => {
  it("takes off secrets at any depth and remembers where they were", () => {
    const bag = unwrapSecrets({
      plain: 1,
      connection: secret({ host: "h", password: secret("p") }),
      list: [secret("x")],
    });
    expect(bag.values).toEqual({ plain: 1, connection: { host: "h", password: "p" }, list: ["x"] });
    expect(bag.secrets).toEqual([["connection"], ["connection", "password"], ["list", 0]]);
    expect(isSecretPath(["connection", "host"], bag.secrets)).toBe(true);
    expect(isSecretPath(["plain"], bag.secrets)).toBe(false);
  });

  it("knows every kind of unknown, output values and resource references", () => {
    const output = { [SIG]: "d0e6a833031e9bbcd3f4e8bde6ca49a4" };
    const reference = { [SIG]: "5cf8f73096256a8f31e491e813e4eb8e", urn: "urn:x", id: "id-1" };
    const bag = unwrapSecrets({
      number: "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
      output: { ...output, value: "v", secret: true },
      waiting: output,
      reference,
    });
    expect(bag.values).toEqual({ number: UNKNOWN, output: "v", waiting: UNKNOWN, reference: "id-1" });
    expect(bag.secrets).toEqual([["output"]]);
    expect(hasUnknown({ deep: [{ er: UNKNOWN }] })).toBe(true);
    expect(hasUnknown({ deep: [{ er: "text" }] })).toBe(false);
  });

  it("is undone by markSecrets", () => {
    const leaf = fc.oneof(fc.string(), fc.integer(), fc.boolean());
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { depthSize: "small" },
        leaf,
        leaf.map(secret),
        fc.array(tie("tree"), { maxLength: 3 }),
        fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), tie("tree"), { maxKeys: 3, noNullPrototype: true }),
        fc
          .dictionary(fc.stringMatching(/^[a-z]{1,5}$/), tie("tree"), { maxKeys: 3, noNullPrototype: true })
          .map(secret),
      ),
    }));
    fc.assert(
      fc.property(
        fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), tree, { noNullPrototype: true }),
        (raw) => {
          const { values, secrets } = unwrapSecrets(raw);
          expect(markSecrets(values, secrets)).toEqual(raw);
          expect(JSON.stringify(values)).not.toContain(SIG);
        },
      ),
    );
  });
});

describe("paths and texts", () => {
  it("writes paths as the engine does", () => {
    expect(formatPath(["ports", 0, "ip"])).toBe("ports[0].ip");
    expect(formatPath(["labels", "berth.node"])).toBe('labels["berth.node"]');
    expect(getPath({ ports: [{ ip: "x" }] }, ["ports", 0, "ip"])).toBe("x");
    expect(getPath({ ports: [] }, ["ports", 0, "ip"])).toBeUndefined();
  });

  it("masks longer secrets before those that they contain", () => {
    expect(redact("a hunter22 b hunter", ["hunter22", "hunter"])).toBe("a [secret] b [secret]");
  });
});
