/** What the tests share: what Go wrote, and the made-up inputs that it was given. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Bag, Context, Props } from "@berth/plugin-base";

interface Shape {
  readonly inputs: Readonly<Record<string, string>>;
  readonly required: readonly string[];
}

export interface Recorded {
  readonly schema: {
    readonly version: string;
    readonly resource: Shape & { readonly token: string; readonly outputs: Readonly<Record<string, string>> };
    readonly function: Shape & { readonly token: string; readonly outputs: Readonly<Record<string, string>> };
    readonly part: Shape;
  };
  readonly documents: readonly {
    readonly name: string;
    readonly inputs: Props;
    readonly rendered: string;
    readonly id: string;
  }[];
  readonly gzip: readonly {
    readonly kind: Kind;
    readonly size: number;
    readonly length: number;
    readonly sha256: string;
  }[];
}

export const recorded = JSON.parse(readFileSync(join(__dirname, "official.json"), "utf8")) as Recorded;

export const bag = (values: Props, secrets: Bag["secrets"] = []): Bag => ({ values, secrets });

export const context = (preview = false): Context => ({
  urn: "urn:pulumi:dev::berth::cloudinit:index/config:Config::thing",
  name: "thing",
  type: "cloudinit:index/config:Config",
  preview,
  signal: new AbortController().signal,
  timeoutMs: undefined,
  log: () => {},
});

/** `noise` does not compress; `text` is made of few letters; `echoes` repeat from up to 33,000 bytes back; `runs` are long. */
export type Kind = "noise" | "text" | "echoes" | "runs" | "skewed";

/** Made-up bytes in several writes, the same each time. */
export function made(kind: Kind, size: number): Buffer[] {
  let state = size;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; ) {
    if (kind === "text") bytes[i++] = 97 + below(5);
    else if (kind === "skewed") bytes[i++] = Math.clz32(below(2 ** 32));
    else if (kind === "runs") {
      const end = Math.min(size, i + 1 + below(400));
      bytes.fill(below(3), i, end);
      i = end;
    } else if (kind === "echoes" && i > 34_000) {
      const [back, end] = [1 + below(33_000), Math.min(size - 1, i + 1 + below(300))];
      for (; i < end; i++) bytes[i] = bytes[i - back] as number;
      bytes[i++] = below(256);
    } else bytes[i++] = below(256);
  }
  const writes: Buffer[] = [];
  for (let i = 0; i < size; ) {
    const end = i + 1 + below(size);
    writes.push(bytes.subarray(i, end));
    i = end;
  }
  return writes;
}
