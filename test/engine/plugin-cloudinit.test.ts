/** Berth's cloudinit plugin under the real engine: documents, what stays secret in them, and what it refuses. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Sandbox } from "./sandbox";

const MINUTE = 60_000;
const SECRET = "TOPSECRET-7c1d";
let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await Sandbox.make(["cloudinit"]);
}, 2 * MINUTE);

afterAll(async () => {
  await sandbox?.remove();
}, MINUTE);

interface Edit {
  /** Arguments of the plain document beside its parts, as program text. */
  readonly given?: string;
  readonly secret?: string;
  /** More program text. */
  readonly more?: string;
}

const PLAIN = "gzip: false, base64Encode: false";

/** Two documents of two parts, one of them with a secret. */
function program({ given = PLAIN, secret = SECRET, more = "" }: Edit = {}): void {
  sandbox.program(`
const cloudinit = require("@pulumi/cloudinit");
const base = { contentType: "text/cloud-config", filename: "base.yaml", content: "#cloud-config\\nhostname: head\\n" };
exports.plain = cloudinit.getConfigOutput({ ${given}, parts: [base, { content: "second" }] }).rendered;
exports.hidden = cloudinit.getConfigOutput({
  ${PLAIN}, parts: [base, { content: pulumi.secret("${secret}") }],
}).rendered;
${more}
`);
}

/** A preview that must fail; its text. */
async function refused(edit: Edit): Promise<string> {
  program(edit);
  const { code, text } = await sandbox.run(["preview"]);
  expect(code, text).not.toBe(0);
  expect(text).not.toContain(SECRET);
  return text;
}

describe("cloudinit plugin", () => {
  it(
    "makes documents, of plain values and of secrets, and the same ones the second time",
    async () => {
      program();
      await sandbox.up();
      const { plain, hidden } = (await sandbox.outputs()) as Record<string, string>;
      expect(plain).toContain(
        'Content-Type: multipart/mixed; boundary="MIMEBOUNDARY"\nMIME-Version: 1.0\r\n',
      );
      expect(plain).toContain('attachment; filename="base.yaml"');
      expect(hidden).toBe(plain?.replace("\r\n\r\nsecond\r\n", `\r\n\r\n${SECRET}\r\n`));
      await sandbox.quiet();
    },
    3 * MINUTE,
  );

  it(
    "keeps a document with a secret part secret, in state, in previews and in outputs",
    async () => {
      program({ secret: `${SECRET}-2` });
      const seen = [await sandbox.ok(["preview", "--diff"]), await sandbox.ok(["stack", "output"])];
      for (const shown of [...seen.map(({ text }) => text), sandbox.stateOnDisk()])
        expect(shown).not.toContain(SECRET);
    },
    3 * MINUTE,
  );

  it(
    "says at preview what is wrong with the arguments, by name, without the content",
    async () => {
      const text = await refused({ given: 'boundary: "a\\nb"' });
      expect(text).toContain("gzip is left out, and true by default");
      expect(text).toContain("set gzip: false, or install the official plugin");
      expect(text).toContain("boundary is not of the form that MIME asks for");
    },
    3 * MINUTE,
  );

  it(
    "says at preview that it has no resource Config, and the way out",
    async () => {
      const more = `new pulumi.CustomResource("cloudinit:index/config:Config", "document", {
  ${PLAIN}, parts: [{ content: pulumi.secret("${SECRET}") }],
}, { version: "1.6.1" });`;
      expect(await refused({ more })).toContain(
        "cloudinit:index/config:Config is not part of Berth's cloudinit plugin 1.6.1, which has " +
          "cloudinit:index/getConfig:getConfig; install the official plugin for it, see docs/plugins.md",
      );
    },
    3 * MINUTE,
  );
});
