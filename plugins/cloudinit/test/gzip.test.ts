/** Compression: Go's bytes, from nothing to several windows' length, and always what zlib can read. */
import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gzip } from "../src/gzip";
import { made, recorded } from "./support";

describe("gzip", () => {
  it.each(recorded.gzip)("has Go's bytes for $size bytes of $kind", ({ kind, size, length, sha256 }) => {
    const packed = gzip(made(kind, size));
    expect(packed.length).toBe(length);
    expect(createHash("sha256").update(packed).digest("hex")).toBe(sha256);
  });

  it("is undone by zlib", () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.tuple(fc.uint8Array({ maxLength: 20 }), fc.nat(400)).map(([bytes, times]) => {
        const out = new Uint8Array(bytes.length * times);
        for (let i = 0; i < times; i++) out.set(bytes, i * bytes.length);
        return out;
      }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (writes) => {
        expect(gunzipSync(gzip(writes)).equals(Buffer.concat(writes))).toBe(true);
      }),
    );
  });

  it("says nothing of the time or the computer", () => {
    expect([...gzip([Buffer.from("x")]).subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
  });
});
