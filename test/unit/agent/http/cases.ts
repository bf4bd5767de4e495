/** What the tests of the API share: APIs, and whatever else ends after each test. */
import { chmodSync } from "node:fs";
import { dirname } from "node:path";
import { afterEach } from "vitest";
import { type Api, makeApi } from "./rig";

/** Done after the test, the last one first. */
export const endings: (() => unknown)[] = [];

/** Does `endings` after each test of the file that calls this. */
export function endAfterEachTest(): void {
  afterEach(async () => {
    for (const end of endings.splice(0).reverse()) await end();
  });
}

/** An API that is closed after the test. */
export async function api(options?: Parameters<typeof makeApi>[0]): Promise<Api> {
  const made = await makeApi(options);
  endings.push(() => made.close());
  return made;
}

/** Others may pass to the sockets, as in /run: the folder of a test is private. */
export function openToAll({ paths, folder }: Pick<Api, "paths" | "folder">): void {
  for (let at = paths.runFolder; at.startsWith(folder); at = dirname(at)) chmodSync(at, 0o755);
}
