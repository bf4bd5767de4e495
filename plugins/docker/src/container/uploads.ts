/** Files put into a container before it starts. */
import { buffer } from "node:stream/consumers";
import type { Props } from "@berth/plugin-base";
import { objects, str, text } from "@berth/plugin-base/bridged";
import tar from "tar-stream";

export interface UploadFile {
  /** Absolute path in the container. */
  readonly file: string;
  readonly content: Buffer;
  /** Permission bits. */
  readonly mode: number;
}

export function uploadFiles(inputs: Props): UploadFile[] {
  return objects(inputs, "uploads").map((entry) => ({
    file: str(entry, "file") ?? "",
    content: Buffer.from(str(entry, "content") ?? ""),
    mode: Number.parseInt(text(entry, "permissions") ?? "0644", 8),
  }));
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
