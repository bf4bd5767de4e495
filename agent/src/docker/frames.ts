/**
 * dockerd's frames, in which the two outputs of a program without a terminal share one stream: 8 bytes (the output, three
 * zeros, the length in four), then so many bytes of that output. Pure but for the reading.
 */
import { garbage } from "./errors";

export type Output = "stdout" | "stderr";

export interface Piece {
  /** `dockerd`: words of its own, such as why it cannot read a log any further. */
  from: Output | "dockerd";
  /** At most as much as was read at once: a frame may be of any length. */
  bytes: Buffer;
  /** The last one of its frame. */
  last: boolean;
}

const HEADER_BYTES = 8;
/** By the first byte of a frame. What a program reads is never sent; it would be shown as what it writes. */
const FROM = ["stdout", "stdout", "stderr", "dockerd"] as const;

/** @throws DockerError if it is none of dockerd's streams, or ends inside a frame. */
export async function* readFrames(stream: AsyncIterable<unknown>, what: string): AsyncGenerator<Piece> {
  const header = Buffer.alloc(HEADER_BYTES);
  let read = 0;
  let left = 0;
  let from: Piece["from"] = "stdout";
  for await (const chunk of stream) {
    let bytes = chunk as Buffer;
    while (bytes.length > 0) {
      if (left === 0) {
        const part = bytes.copy(header, read, 0, HEADER_BYTES - read);
        bytes = bytes.subarray(part);
        read += part;
        if (read < HEADER_BYTES) continue;
        read = 0;
        from = fromOf(header, what);
        left = header.readUInt32BE(4);
        continue;
      }
      const piece = bytes.subarray(0, left);
      bytes = bytes.subarray(piece.length);
      left -= piece.length;
      yield { from, bytes: piece, last: left === 0 };
    }
  }
  if (read > 0 || left > 0) throw garbage(what, "it ends inside a frame");
}

function fromOf(header: Buffer, what: string): Piece["from"] {
  const from = FROM[header[0] ?? FROM.length];
  if (from === undefined || header[1] !== 0 || header[2] !== 0 || header[3] !== 0)
    throw garbage(what, "no frame; a container with a terminal has none");
  return from;
}
