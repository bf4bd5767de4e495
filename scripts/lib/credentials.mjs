/**
 * @file One user's secrets as a table, in the words of the guide for researchers (docs/researchers.md). Pure.
 */
import { table } from "./format.mjs";

/** What each secret of the stack's output `credentials` opens. */
export const CREDENTIAL_WORDS = /** @type {Record<string, string>} */ ({
  password: "SSH and sudo password",
  codePassword: "VS Code password",
  jupyterToken: "Jupyter token",
  tensorboardPassword: "TensorBoard password",
  vncPassword: "desktop password (VNC, noVNC, RDP)",
  sshPrivateKey: "SSH private key",
});

/**
 * @param {Record<string, unknown>} secrets
 * @returns {string} texts of several lines stand below the table
 */
export function credentialText(secrets) {
  const order = Object.keys(CREDENTIAL_WORDS);
  const place = (/** @type {string} */ name) => order.indexOf(name) + 1 || order.length + 1;
  /** @type {[string, string][]} */
  const all = Object.entries(secrets)
    .sort(([a], [b]) => place(a) - place(b))
    .map(([name, value]) => [CREDENTIAL_WORDS[name] ?? name, String(value)]);
  const short = all.filter(([, value]) => !value.includes("\n"));
  const long = all.filter(([, value]) => value.includes("\n")).map(([name, value]) => `\n${name}:\n${value}`);
  return [table(["FOR", "SECRET"], short), ...long].join("\n");
}
