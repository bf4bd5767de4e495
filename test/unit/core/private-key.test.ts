/** Key files of operators: which sign in with OpenSSH and with our plugins, and how each of the others is mended. */
import { spawnSync } from "node:child_process";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { baremetalAccess, readPrivateKey } from "../../../components/node/ssh-access";
import { deriveSshKey } from "../../../components/secrets/derive";
import type { BaremetalNodePlan } from "../../../config";
import { privateKeyProblem } from "../../../core/private-key";
import { prepareConnection, SshError } from "../../../plugins/base/src/index";
import { failureOf } from "../../lib/failure";
import { missing } from "../../lib/programs";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-key-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const own = deriveSshKey("seed", "a key").privateKey;
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const ec = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve }).privateKey;
const p256 = ec("prime256v1");
const pem = (key: KeyObject, type: "pkcs1" | "sec1" | "pkcs8", more: object = {}) =>
  key.export({ type, format: "pem", ...more } as never) as unknown as string;
const locked = { cipher: "aes-256-cbc", passphrase: "secret phrase" };
const without = (text: string, line: number) => text.split("\n").toSpliced(line, 1).join("\n");

const write = (text: string) => {
  const path = join(folder, "key");
  writeFileSync(path, text, { mode: 0o600 });
  return path;
};
const read = (text: string) => readPrivateKey("gpu-1", write(text));
/** OpenSSH's own verdict on the file. */
const openssh = (text: string) =>
  spawnSync("ssh-keygen", ["-y", "-P", "", "-f", write(text)], { encoding: "utf8" }).status === 0;
const plugin = (privateKey: string) => prepareConnection({ host: "192.0.2.1", privateKey });

const fine: [string, string][] = [
  ["OpenSSH's own format", own],
  ["the same with blank lines at its end", `${own}\n\n`],
  ["RSA, PEM", pem(rsa, "pkcs1")],
  ["RSA, PKCS#8", pem(rsa, "pkcs8")],
  ["RSA, PKCS#8 with Windows line breaks", pem(rsa, "pkcs8").replaceAll("\n", "\r\n")],
  ["RSA, PKCS#8 without a line break at its end", pem(rsa, "pkcs8").trimEnd()],
  ["ECDSA, PEM", pem(p256, "sec1")],
  ...["prime256v1", "secp384r1", "secp521r1"].map((curve): [string, string] => [
    `ECDSA ${curve}, PKCS#8`,
    pem(ec(curve), "pkcs8"),
  ]),
];

describe("a key file that is taken", () => {
  it.each(fine)("is read by the plugin: %s", async (_, text) => {
    expect(privateKeyProblem(text, "key")).toBeUndefined();
    await expect(plugin(read(text))).resolves.toBeDefined();
  });

  it.skipIf(missing("ssh-keygen")).each(fine)("is read by OpenSSH: %s", (_, text) => {
    expect(openssh(text)).toBe(true);
  });

  it("has no passphrase: the plugin does not open one that has, nor quote it", async () => {
    const text = pem(rsa, "pkcs8", locked);
    const error = await failureOf(SshError, plugin(text));
    expect(error.message).toMatch(/privateKey cannot be used/);
    expect(error.message).not.toContain(text.split("\n")[1] as string);
  });
});

const refused: [string, string, RegExp][] = [
  ["Windows line breaks", own.replaceAll("\n", "\r\n"), /\(CRLF\).*sed -i 's\/\\r\$\/\/' \/.*key$/],
  ["no line break at its end", own.trimEnd(), /lacks the line break at its end.*echo >> \/.*key$/],
  ["a line before it", `my key\n${own}`, /something before the line/],
  ["a blank line before it", `\n${own}`, /something before the line/],
  ["a byte order mark", `\ufeff${own}`, /something before the line/],
  ["a line after it", `${own}my key\n`, /something after the line/],
  ["a line cut out", without(own, 2), /damaged or cut.*ssh-keygen -t ed25519/],
  ["its end cut off", own.slice(0, 150), /damaged or cut/],
  ["one line of it all", `${own.trim().replaceAll("\n", " ")}\n`, /no SSH private key|damaged or cut/],
  ["lines moved in", own.replace(/^/gm, "  "), /something before|damaged/],
  [
    "nothing inside",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    /damaged or cut/,
  ],
  ["a PEM line cut out", without(pem(rsa, "pkcs1"), 5), /damaged or cut/],
  ["a PKCS#8 line cut out", without(pem(rsa, "pkcs8"), 5), /damaged or cut/],
  [
    "Ed25519 as PKCS#8",
    pem(generateKeyPairSync("ed25519").privateKey, "pkcs8"),
    /ssh-keygen -p -N '' -f \/.*key/,
  ],
  ["a curve that SSH has not", pem(ec("secp256k1"), "pkcs8"), /secp256k1.*ssh-keygen -t ed25519/],
  ["a passphrase, PEM", pem(rsa, "pkcs1", locked), /has a passphrase.*ssh-add/],
  ["a passphrase, PKCS#8", pem(p256, "pkcs8", locked), /has a passphrase.*ssh-add/],
  ["a key of PuTTY", "PuTTY-User-Key-File-2: ssh-rsa\n", /puttygen \/.*key -O private-openssh/],
  ["a public key", deriveSshKey("seed", "x").publicKey, /is a public key/],
  ["a certificate", "ecdsa-sha2-nistp256-cert-v01@openssh.com AAAA me", /is a public key/],
  ["a public key of another SSH", "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n", /is a public key/],
  ["a PEM public key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", /is a public key/],
  ["a TLS certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", /is a certificate/],
  ["something else", "hello\n", /is no SSH private key/],
  ["nothing", "", /is no SSH private key/],
];

describe("a key file that is refused", () => {
  it.each(refused)("holds %s", (_, text, why) => {
    expect(() => read(text)).toThrow(why);
    const long = text.split(/\r?\n/).find((line) => /^[A-Za-z0-9+/=]{40,}$/.test(line));
    if (long !== undefined) expect(() => read(text)).not.toThrow(long);
  });

  it("is a folder", () => {
    mkdirSync(join(folder, "keys"));
    expect(() => readPrivateKey("gpu-1", join(folder, "keys"))).toThrow(/keyFile .*keys is a folder/);
  });

  it("stops a preview too, where one that is not there yet does not", () => {
    const plan = (path: string) =>
      ({
        ...{
          kind: "baremetal",
          name: "gpu-1",
          role: "worker",
          address: "192.0.2.7",
          privateAddress: "10.0.0.7",
        },
        ...{ sshUser: "ops", sshPort: 22, hostKey: "", key: { from: "file", path } },
      }) as unknown as BaremetalNodePlan;
    const files = { folder, operatorKey: join(folder, "id"), knownHosts: join(folder, "known") };
    const warnings: string[] = [];
    const context = { preview: true, warn: (text: string) => warnings.push(text) };
    const stackKey = deriveSshKey("seed", "operator");
    expect(() => baremetalAccess(plan(write(own.trimEnd())), files, stackKey, context)).toThrow(
      /node gpu-1: keyFile .* lacks the line break/,
    );
    baremetalAccess(plan(join(folder, "none")), files, stackKey, context);
    expect(warnings).toEqual([expect.stringMatching(/does not exist.*An update will need it/)]);
  });
});
