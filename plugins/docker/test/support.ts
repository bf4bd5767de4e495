/** What the unit tests share: bags without secrets, a context, and what was recorded of the official plugin. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Bag, Context, DiffRequest, Props } from "@berth/plugin-base";
import type { Inspect } from "../src/container/inspect";

export const bag = (values: Props): Bag => ({ values, secrets: [] });

export const context = (name = "thing"): Context => ({
  urn: `urn:pulumi:dev::berth::docker:index/container:Container::${name}`,
  name,
  type: "docker:index/container:Container",
  preview: false,
  signal: new AbortController().signal,
  timeoutMs: undefined,
  log: () => {},
});

export const diffRequest = (olds: Props, news: Props, ignoreChanges: string[] = []): DiffRequest => ({
  id: "id",
  olds: bag(olds),
  oldInputs: bag({}),
  news: bag(news),
  ignoreChanges,
});

/** `{ memory: "update", image: "replace" }`. */
export type Verdict = Record<string, "update" | "replace">;

export interface Recorded {
  readonly program: Props;
  readonly checked: Props;
  readonly outputs: Props;
  readonly inspect: Inspect;
  readonly edits: Record<string, { set: Props; official: Verdict; deleteFirst: boolean }>;
}

export const recorded = (
  JSON.parse(readFileSync(join(__dirname, "official.json"), "utf8")) as {
    containers: Record<string, Recorded>;
  }
).containers;
