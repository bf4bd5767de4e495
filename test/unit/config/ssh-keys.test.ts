/** Public keys wherever they are written: users', droplets', hosts'. One whole key, or an answer that says why not. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { renderUserData } from "../../../cloud-init";
import { deriveSshKey } from "../../../components/secrets/derive";
import { isPublicKey, parseHostKey } from "../../../config";
import { publicKeyProblem } from "../../../core/public-key";
import { parseHostKeys } from "../../../plugins/base/src/hostkey";
import { certificate, dsa, userKeys } from "../public-keys";
import { digitalocean, dropletStack, firewall, load, metal, problems } from "./helpers";

const user = (keys: string[]) => ({ name: "alice", node: "metal-0", index: 0, keys });
const withUser = (...keys: string[]) => ({ nodes: [metal(0)], firewall, users: [user(keys)] });
const withDroplet = (...sshKeys: string[]) => ({
  ...dropletStack,
  digitalocean: { ...digitalocean, sshKeys },
});
const withHost = (hostKey: string) => ({ nodes: [metal(0, { hostKey })], firewall });
const hostTypes = Object.keys(userKeys).filter((type) => !type.startsWith("sk-"));
const blobs = Object.entries(userKeys).map(([type, base64]) => ({
  type,
  blob: Buffer.from(base64, "base64"),
}));
const lineOf = (type: string, blob: Buffer) => `${type} ${blob.toString("base64")} alice`;

const cut = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ+S1ZLn0dWllTuZ3lIT alice";

describe("a whole key", () => {
  it.each(Object.entries(userKeys))(
    "of type %s is taken, with a comment, a file's line break and blanks",
    (type, base64) => {
      const line = `${type} ${base64}`;
      for (const text of [line, `${line} alice`, `${line} alice@desk, the old one\n`, `  ${line}\r\n`]) {
        expect(publicKeyProblem(text)).toBeUndefined();
        expect(load(withUser(text)).users[0]?.keys).toEqual([text.trim()]);
        expect(load(withDroplet(text)).digitalocean?.sshKeys).toEqual([text.trim()]);
      }
    },
  );

  it.each(hostTypes)("of type %s is taken for a host's", (type) => {
    const line = `${type} ${userKeys[type]}`;
    expect(parseHostKey(`  ${line} root@metal\n`)).toBe(line);
    expect(parseHostKeys(`${line}\n`)).toEqual([
      { type, blob: Buffer.from(userKeys[type] as string, "base64"), revoked: false },
    ]);
  });
});

describe("a key that was cut", () => {
  it("is refused everywhere, and told of where it stands", () => {
    for (const [config, path] of [
      [withUser(cut), "berth:users[0].keys[0]"],
      [withDroplet(cut), "berth:digitalocean.sshKeys[0]"],
      [withHost(cut), "berth:nodes[0].hostKey"],
    ] as const)
      expect(problems(config)).toEqual([
        expect.objectContaining({
          path,
          problem: expect.stringMatching(/^is no SSH (public|host) key: it ends too early/),
        }),
      ]);
    expect(() => parseHostKeys(cut)).toThrow(/hostKey, line 1, is no public key: it ends too early/);
    const hostKey = deriveSshKey("seed", "host");
    expect(() => renderUserData({ node: "n", hostKey, login: { name: "ops", keys: [cut] } })).toThrow(
      /login\.keys\[0\]/,
    );
  });

  it("is refused wherever it was cut, and also with bytes at its end", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...blobs),
        fc.nat(),
        fc.uint8Array({ minLength: 1, maxLength: 40 }),
        (key, n, more) => {
          const { type, blob } = key;
          expect(isPublicKey(lineOf(type, blob.subarray(0, n % blob.length)))).toBe(false);
          expect(isPublicKey(lineOf(type, Buffer.concat([blob, more])))).toBe(false);
          const base64 = blob.toString("base64").replace(/=+$/, "");
          expect(isPublicKey(`${type} ${base64.slice(0, n % base64.length)} alice`)).toBe(false);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("agrees with the provider: no host key passes there that is cut", () => {
    fc.assert(
      fc.property(fc.constantFrom(...blobs), fc.nat(), ({ type, blob }, n) => {
        const line = lineOf(type, blob.subarray(0, n % blob.length));
        expect(parseHostKey(line)).toBeUndefined();
        expect(() => parseHostKeys(line)).toThrow(/hostKey, line 1/);
      }),
      { numRuns: 300 },
    );
  });
});

/** A blob of these fields, each a number or a text of so many bytes. */
const made = (...fields: (string | Buffer)[]) => {
  const parts = fields.map((field) => {
    const bytes = Buffer.from(field as string);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  });
  return Buffer.concat(parts);
};

describe("a key that is none", () => {
  const whole = `ssh-ed25519 ${userKeys["ssh-ed25519"]}`;
  it.each([
    ["two lines", `${whole} a\n${whole} b`, /more than one line/],
    ["options", `command="sh" ${whole}`, /no SSH public key/],
    ["nothing after the type", "ssh-ed25519", /nothing follows/],
    ["a fingerprint", "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", /no SSH public key/],
    ["a certificate", certificate, /certificate/],
    ["a DSA key", dsa, /no SSH public key/],
    ["another type inside", `ssh-rsa ${userKeys["ssh-ed25519"]}`, /another type/],
    [
      "letters that are no base64",
      `ssh-ed25519 ${userKeys["ssh-ed25519"]?.replace("I", "-")}`,
      /none of base64/,
    ],
    ["a bell in the comment", `${whole} a\u0007b`, /control character/],
    [
      "another curve",
      lineOf("ecdsa-sha2-nistp256", made("ecdsa-sha2-nistp256", "nistp384", Buffer.alloc(65, 4))),
      /curve/,
    ],
    [
      "a packed point",
      lineOf("ecdsa-sha2-nistp256", made("ecdsa-sha2-nistp256", "nistp256", Buffer.alloc(33, 2))),
      /65 belong/,
    ],
    [
      "a small modulus",
      lineOf("ssh-rsa", made("ssh-rsa", Buffer.from([3]), Buffer.alloc(64, 0x7f))),
      /511 bits/,
    ],
    [
      "a negative number",
      lineOf("ssh-rsa", made("ssh-rsa", Buffer.from([3]), Buffer.alloc(256, 0xff))),
      /number/,
    ],
  ])("is refused: %s", (_, line, why) => {
    expect(publicKeyProblem(line)).toMatch(why);
    expect(problems(withUser(line)).map(({ path }) => path)).toEqual(["berth:users[0].keys[0]"]);
  });

  it.each([
    ["a security key", `sk-ssh-ed25519@openssh.com ${userKeys["sk-ssh-ed25519@openssh.com"]}`],
    ["a certificate", certificate],
  ])("for a host: %s", (_, line) => {
    expect(parseHostKey(line)).toBeUndefined();
    expect(() => parseHostKeys(line)).toThrow(/hostKey, line 1, is /);
  });
});
