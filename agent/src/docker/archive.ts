/** A tar archive that is unpacked in a container. */
import { finished, type Readable } from "node:stream";
import { short } from "./errors";
import type { Transport } from "./transport";

/**
 * Unpacks a tar archive, packed by gzip, bzip2, xz or not, with the owners that it names. It is read as fast as dockerd takes
 * it, and destroyed at the end, whatever that is.
 *
 * @param path a folder that the container has
 * @param archive its error, or its end before its time, is thrown
 */
export async function putArchive(
  transport: Transport,
  container: string,
  path: string,
  archive: Readable,
  signal: AbortSignal | undefined,
): Promise<void> {
  const broken = new AbortController();
  const forget = finished(archive, { writable: false }, (error) => {
    if (error) broken.abort(error);
  });
  try {
    await transport.call(`unpack files in container ${short(container)}`, {
      method: "PUT",
      path: `/containers/${encodeURIComponent(container)}/archive`,
      query: { path, noOverwriteDirNonDir: true },
      upload: archive,
      fine: [200],
      deadlineMs: transport.deadlines.write,
      signal: signal === undefined ? broken.signal : AbortSignal.any([signal, broken.signal]),
    });
  } finally {
    forget();
    // Its later errors are nobody's any more.
    archive.on("error", () => {}).destroy();
  }
}
