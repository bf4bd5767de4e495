/** Files put into a container before it starts. */
import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import type { Props } from "@berth/plugin-base";
import { ProviderError } from "@berth/plugin-base";
import { bool, objects, str, text } from "@berth/plugin-base/bridged";
import tar from "tar-stream";

export interface UploadFile {
  /** Absolute path in the container. */
  readonly file: string;
  readonly content: Buffer;
  /** Permission bits. */
  readonly mode: number;
}

/** What is wrong with `uploads`, by index: exactly one of the three sources must be there. Pure. */
export function uploadFaults(inputs: Props): { index: number; reason: string }[] {
  return objects(inputs, "uploads").flatMap((entry, index) => {
    const given = ["content", "contentBase64", "source"].filter((key) => text(entry, key) !== undefined);
    if (given.length === 1) return [];
    const what = given.length === 0 ? "none is there" : `${given.join(" and ")} are there`;
    return [{ index, reason: `takes exactly one of content, contentBase64 and source; ${what}` }];
  });
}

/**
 * The files to upload; `source` is read from the operator's disk.
 *
 * @throws ProviderError naming a source that cannot be read.
 */
export async function uploadFiles(inputs: Props): Promise<UploadFile[]> {
  return Promise.all(
    objects(inputs, "uploads").map(async (entry) => {
      const file = str(entry, "file") ?? "";
      const permissions = text(entry, "permissions");
      // Official defaults: 0744 for an executable, else 0644.
      const mode =
        permissions !== undefined
          ? Number.parseInt(permissions, 8)
          : bool(entry, "executable")
            ? 0o744
            : 0o644;
      return { file, content: await contentOf(entry), mode };
    }),
  );
}

async function contentOf(entry: Props): Promise<Buffer> {
  const base64 = text(entry, "contentBase64");
  if (base64 !== undefined) return Buffer.from(base64, "base64");
  const source = text(entry, "source");
  if (source === undefined) return Buffer.from(str(entry, "content") ?? "");
  try {
    return await readFile(source);
  } catch (error) {
    throw new ProviderError(
      `uploads: cannot read source ${source}: ${(error as NodeJS.ErrnoException).code}`,
    );
  }
}

/** One archive to unpack at `/`. Files are root's. */
export async function uploadArchive(files: readonly UploadFile[]): Promise<Buffer> {
  const archive = tar.pack();
  for (const { file, content, mode } of files) {
    archive.entry({ name: file.replace(/^\/+/, ""), mode, mtime: new Date() }, content);
  }
  archive.finalize();
  return buffer(archive);
}

/** The first file of an archive, as `GET /containers/ID/archive` gives it. */
export function firstFile(
  archive: NodeJS.ReadableStream,
): Promise<{ content: Buffer; mode: number } | undefined> {
  return new Promise((resolve, reject) => {
    const extract = tar.extract();
    let found: { content: Buffer; mode: number } | undefined;
    extract.on("entry", (header, stream, next) => {
      buffer(stream).then((content) => {
        if (header.type === "file") found ??= { content, mode: (header.mode ?? 0) & 0o7777 };
        next();
      }, reject);
    });
    extract.on("finish", () => resolve(found));
    extract.on("error", reject);
    archive.on("error", reject);
    archive.pipe(extract);
  });
}
