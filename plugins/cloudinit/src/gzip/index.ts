/**
 * gzip, byte for byte as Go's `compress/gzip` writes it at its default level.
 *
 * Every compressor makes other bytes of the same text, and Node's own zlib even other ones on other processors. The
 * official plugin is a Go program; where ours made other bytes, a change of plugins, or of computers, would change
 * the user data of every machine, and so replace it. No library gives Go's bytes, hence this one; the tests hold it to
 * the official provider's own examples and to what Go 1.26 wrote.
 */
import { crc32 } from "node:zlib";
import { BitWriter } from "./bits";
import { writeBlock } from "./block";
import { blocksOf } from "./lz77";

/** No flags, no time, no hint of the level, operating system "unknown". */
const HEADER = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/**
 * @param writes the text as Go's writer gets it, one entry per call: beyond 64 KiB it depends on them when the
 * compressor's window moves on, and with it the bytes.
 */
export function gzip(writes: readonly Uint8Array[]): Buffer {
  const input = Buffer.concat(writes);
  const out = new BitWriter();
  out.bytes(HEADER);
  const sizes = writes.map((write) => write.length);
  for (const block of blocksOf(input, sizes)) writeBlock(out, block);
  out.stored([], true);
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(input), 0);
  trailer.writeUInt32LE(input.length % 2 ** 32, 4);
  out.bytes(trailer);
  return out.end();
}
