/** The part of tar-stream 2 that the plugin uses; the package has no types of its own. */
declare module "tar-stream" {
  import type { Readable, Writable } from "node:stream";

  interface Header {
    name: string;
    size?: number;
    mode?: number;
    mtime?: Date;
    type?: "file" | "directory" | "symlink";
  }
  interface Pack extends Readable {
    entry(header: Header, content: string | Buffer): void;
    finalize(): void;
  }
  interface Extract extends Writable {
    on(event: "entry", handler: (header: Header, stream: Readable, next: () => void) => void): this;
    on(event: "finish" | "close", handler: () => void): this;
    on(event: "error", handler: (error: Error) => void): this;
  }
  export function pack(): Pack;
  export function extract(): Extract;
}
