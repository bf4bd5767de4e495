/** What the tests of the repository cache share: a cache in a folder of its own, and a Git host, for each test. */
import { randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import {
  type Checkout,
  type CheckoutAsk,
  RepositoryCache,
  type RepositoryCacheOptions,
} from "../../../agent/src/repositories";
import { GitHost } from "./git-host";

export let host: GitHost;
export let folder: string;
export const made: Checkout[] = [];

export function hostForEachTest(): void {
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "berth-repositories-"));
    host = new GitHost();
    await host.start();
    made.length = 0;
  });
  afterEach(async () => {
    await host.close();
    rmSync(folder, { recursive: true, force: true });
  });
}

export const options = (more: Partial<RepositoryCacheOptions> = {}): RepositoryCacheOptions => ({
  folder: `${folder}/cache/`,
  maxBytes: 2 ** 30,
  hosts: [host.host],
  resolve: async () => ({ ok: true, value: ["127.0.0.1"] }),
  log: { info: () => {}, warn: () => {} },
  ...more,
});

export async function cacheOf(more: Partial<RepositoryCacheOptions> = {}): Promise<RepositoryCache> {
  const cache = new RepositoryCache(options(more));
  await cache.recover();
  return cache;
}

export const askFor = (name: string, more: Partial<CheckoutAsk> = {}): CheckoutAsk => ({
  repository: host.repository("acme", name),
  owner: "alice",
  signal: new AbortController().signal,
  onLine: () => {},
  ...more,
});

/** The working tree, which has to be given. */
export async function treeOf(
  cache: RepositoryCache,
  name: string,
  more: Partial<CheckoutAsk> = {},
): Promise<Checkout> {
  const given = await cache.checkout(askFor(name, more));
  if (!given.ok) throw new Error(given.refusal.message);
  made.push(given.value);
  return given.value;
}

/** Why it is not given. */
export async function refusalOf(cache: RepositoryCache, name: string, more: Partial<CheckoutAsk> = {}) {
  const given = await cache.checkout(askFor(name, more));
  if (given.ok) throw new Error(`it was given: ${given.value.folder}`);
  return given.refusal;
}

/** A git that does something before a command of its own: `sh` with `$*` for git's arguments. */
export function gitThat(script: string): string {
  const program = join(folder, `git-${randomUUID()}`);
  writeFileSync(program, `#!/bin/sh\n${script}\nexec git "$@"\n`, { mode: 0o755 });
  return program;
}

/** What is under way, on the disk. */
export const underWay = () => readdirSync(join(folder, "cache/.work"));

/** The command lines of the processes that work for this test: git's helpers have no path in theirs, only in their environment. */
export function processes(): string[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const all = pids.map((pid) => ({ line: proc(pid, "cmdline"), told: proc(pid, "environ") }));
  const own = (text: string) => text.includes(`${folder}/cache`) || text.includes(`:${host.host.port}`);
  return all.filter(({ line, told }) => line !== "" && (own(line) || own(told))).map(({ line }) => line);
}

/** Empty where the process has ended, or is another account's. */
function proc(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}
