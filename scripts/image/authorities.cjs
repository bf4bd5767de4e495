/**
 * @file The certificate authorities that this computer trusts and a plain Debian does not: those of a company's
 * proxy, say. Without them pip and npm fail inside the images.
 */
const { createHash } = require("node:crypto");
const { readdirSync, readFileSync } = require("node:fs");
const { join } = require("node:path");
const { rootCertificates } = require("node:tls");

/** Where Debian and its children keep the distribution's own authorities, one file each. */
const DISTRIBUTION = "/usr/share/ca-certificates/mozilla";

/**
 * The certificates in a PEM text, in order.
 * @param {string} text
 * @returns {{fingerprint: string, pem: string}[]} `fingerprint`: SHA-256 of the DER form, hex
 */
function readPem(text) {
  const found = [];
  for (const match of text.matchAll(
    /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g,
  )) {
    const der = Buffer.from((match[1] ?? "").replace(/\s+/g, ""), "base64");
    const body = der.toString("base64").replace(/(.{64})(?=.)/g, "$1\n");
    found.push({
      fingerprint: createHash("sha256").update(der).digest("hex"),
      pem: `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`,
    });
  }
  return found;
}

/**
 * The operator's own authorities: those in the bundles that NODE_EXTRA_CA_CERTS and SSL_CERT_FILE name, less the
 * ones of the distribution (or of Node.js, where this is no Debian). Sorted by fingerprint, each once.
 * @param {NodeJS.ProcessEnv} [env]
 * @param {string} [distribution] folder with the distribution's own
 * @returns {{fingerprint: string, pem: string}[]}
 * @throws {Error} when a named bundle cannot be read
 */
function operatorAuthorities(env = process.env, distribution = DISTRIBUTION) {
  /** @type {Map<string, {fingerprint: string, pem: string}>} */
  const own = new Map();
  for (const variable of ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"]) {
    const path = env[variable];
    if (!path) continue;
    let text;
    try {
      text = readFileSync(path, "utf8");
    } catch (error) {
      const code = /** @type {NodeJS.ErrnoException} */ (error).code;
      throw new Error(
        `${variable} names ${path}, which cannot be read (${code}). Mend the variable or unset it: the images must trust the authorities in that file.`,
      );
    }
    for (const authority of readPem(text)) own.set(authority.fingerprint, authority);
  }
  if (own.size > 0) for (const fingerprint of knownAuthorities(distribution)) own.delete(fingerprint);
  return [...own.values()].sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1));
}

/** @param {string} distribution */
function knownAuthorities(distribution) {
  const known = new Set(/** @type {string[]} */ ([]));
  /** @type {string[]} */
  let files = [];
  try {
    files = readdirSync(distribution).filter((file) => file.endsWith(".crt"));
  } catch {
    // No Debian: Node.js carries Mozilla's list too.
    for (const { fingerprint } of readPem(rootCertificates.join("\n"))) known.add(fingerprint);
  }
  for (const file of files) {
    for (const { fingerprint } of readPem(readFileSync(join(distribution, file), "utf8")))
      known.add(fingerprint);
  }
  return known;
}

exports.readPem = readPem;
exports.operatorAuthorities = operatorAuthorities;
