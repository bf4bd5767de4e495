/** Berth's cloudinit plugin under the real engine: a document in state, its edits, and what stays secret in it. */
import { gunzipSync } from "node:zlib";
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
  readonly script?: string;
  /** More properties of the document, as program text. */
  readonly more?: string;
  readonly secret?: string;
}

/** Two documents of two parts, the second with a secret, and one by function. */
function program({ script = "echo one", more = "", secret = SECRET }: Edit = {}): void {
  sandbox.program(`
const cloudinit = require("@pulumi/cloudinit");
const parts = [
  { contentType: "text/cloud-config", filename: "base.yaml", content: "#cloud-config\\nhostname: head\\n" },
  { contentType: "text/x-shellscript", content: "#!/bin/sh\\n${script}\\n" },
];
const plain = new cloudinit.Config("plain", { gzip: false, base64Encode: false, parts, ${more} });
const hidden = new cloudinit.Config("hidden", {
  parts: [parts[0], { contentType: "text/plain", content: pulumi.secret("${secret}") }],
});
exports.plain = plain.rendered;
exports.hidden = hidden.rendered;
exports.asked = cloudinit.getConfig({ gzip: false, base64Encode: false, parts }).then(({ rendered }) => rendered);
exports.later = cloudinit.getConfigOutput({
  gzip: false, base64Encode: false, parts: [{ content: plain.id.apply((id) => "of " + id) }],
}).rendered;
`);
}

const steps = async (): Promise<string[]> =>
  (await sandbox.preview()).map(({ op, urn }) => `${op} ${urn.split("::").pop()}`);

describe("cloudinit plugin", () => {
  it(
    "makes the same document as a resource and as a function",
    async () => {
      program();
      await sandbox.up();
      const { plain, asked, later } = (await sandbox.outputs()) as Record<string, string>;
      expect(asked).toBe(plain);
      expect(plain).toContain(
        'Content-Type: multipart/mixed; boundary="MIMEBOUNDARY"\nMIME-Version: 1.0\r\n',
      );
      expect(plain).toContain('attachment; filename="base.yaml"');
      const { id } = (await sandbox.resources()).find(({ urn }) => urn.endsWith("::plain")) ?? {};
      expect(id).toMatch(/^\d+$/);
      expect(later).toContain(`\r\n\r\nof ${id}\r\n`);
    },
    3 * MINUTE,
  );

  it(
    "keeps a document with a secret part secret, in state, in previews and in outputs",
    async () => {
      const { hidden } = (await sandbox.outputs()) as Record<string, string>;
      const text = gunzipSync(Buffer.from(hidden ?? "", "base64")).toString();
      expect(text).toContain(SECRET);
      const state = (await sandbox.resources()).find(({ urn }) => urn.endsWith("::hidden"));
      expect(state?.outputs?.rendered).toHaveProperty("ciphertext");
      program({ secret: `${SECRET}-2` });
      const seen = [await sandbox.ok(["preview", "--diff"]), await sandbox.ok(["stack", "output"])];
      program();
      for (const shown of [...seen.map(({ text }) => text), sandbox.stateOnDisk()]) {
        expect(shown).not.toContain(SECRET);
        expect(shown).not.toContain(hidden);
      }
    },
    3 * MINUTE,
  );

  it(
    "has nothing to do the second time, nor after a refresh, nor where a default is written out",
    async () => {
      await sandbox.quiet();
      await sandbox.ok(["refresh", "--yes", "--skip-preview", "--expect-no-changes"]);
      program({ more: 'boundary: "MIMEBOUNDARY"' });
      await sandbox.quiet();
    },
    3 * MINUTE,
  );

  it(
    "replaces a document whose part changes, and no other",
    async () => {
      const before = await sandbox.outputs();
      program({ script: "echo two" });
      expect(await steps()).toEqual(["replace plain"]);
      await sandbox.up();
      const after = await sandbox.outputs();
      expect(after.plain).toContain("echo two");
      expect([after.asked, after.hidden]).toEqual([after.plain, before.hidden]);
      await sandbox.quiet();
    },
    3 * MINUTE,
  );

  it(
    "says at preview what is wrong, by name, without the content",
    async () => {
      program({ more: `gzip: true, base64Encode: false, boundary: "a\\nb"` });
      const ran = await sandbox.run(["preview"]);
      expect(ran.code).not.toBe(0);
      expect(ran.text).toContain("base64Encode is false, but gzip makes bytes that are no text");
      expect(ran.text).toContain("boundary is not of the form that MIME asks for");
      expect(ran.text).not.toContain(SECRET);
    },
    3 * MINUTE,
  );

  it(
    "destroys to nothing",
    async () => {
      program();
      await sandbox.ok(["destroy", "--yes", "--skip-preview"]);
      expect(await sandbox.resources()).toEqual([]);
    },
    3 * MINUTE,
  );
});
