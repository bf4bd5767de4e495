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
    readonly function: Shape & { readonly token: string; readonly outputs: Readonly<Record<string, string>> };
    readonly part: Shape;
  };
  readonly documents: readonly {
    readonly name: string;
    readonly inputs: Props;
    readonly rendered: string;
    readonly id: string;
  }[];
}

export const recorded = JSON.parse(readFileSync(join(__dirname, "official.json"), "utf8")) as Recorded;

export const bag = (values: Props): Bag => ({ values, secrets: [] });

export const context: Context = {
  urn: "",
  name: "",
  type: "cloudinit:index/getConfig:getConfig",
  preview: false,
  signal: new AbortController().signal,
  timeoutMs: undefined,
  log: () => {},
};
