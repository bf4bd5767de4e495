import { readFileSync, type StatsListener, unwatchFile, watchFile } from "node:fs";
import { createSecureContext } from "node:tls";

/** Files of the node, in PEM; the certificate's with those that lead from it to an authority. */
export interface CertificateFiles {
  certificate: string;
  key: string;
}

/** How often the files are looked at, in milliseconds: whatever replaces them, and however. */
const lookEvery = 5000;

/** @throws {Error} a file cannot be read, or the two do not belong together; what it says names the files, never the key */
export function readCertificate({ certificate, key }: CertificateFiles): { cert: Buffer; key: Buffer } {
  const read = { cert: readFileSync(certificate), key: readFileSync(key) };
  try {
    createSecureContext(read);
  } catch (error) {
    throw new Error(
      `${certificate} and ${key} are no certificate and its key, in PEM: ${(error as Error).message}`,
    );
  }
  return read;
}

/** Calls `changed` after one of the files was replaced or written. @returns ends it */
export function watchCertificate(
  { certificate, key }: CertificateFiles,
  changed: () => void,
  interval = lookEvery,
): () => void {
  const listener: StatsListener = (now, before) => {
    if (now.mtimeMs !== before.mtimeMs || now.ino !== before.ino || now.size !== before.size) changed();
  };
  const files = [certificate, key];
  for (const file of files) watchFile(file, { interval, persistent: false }, listener);
  return () => {
    for (const file of files) unwatchFile(file, listener);
  };
}
