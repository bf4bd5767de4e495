/**
 * The real npm over kept packages, with the lines that a set-up runs. Proves: the second container of a repository downloads nothing
 * and has all that the first one has; another branch downloads what it has more, and that stays its own; a container without kept
 * packages downloads all; an account that is not root's can do the same. Does not prove pnpm and Yarn.
 */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { PackageCaches } from "../../../agent/src/packages";
import { installCommand, type PackagesOf } from "../../../core/manager";
import { must } from "../../lib/run";
import { NpmRegistry } from "./npm-registry";
import { Container, cachesOf, folder, isRoot, keepOf, nodeForEachTest, PACKAGES, WAYS } from "./packages-rig";

const PROJECT = { name: "app", version: "1.0.0", dependencies: { left: "1.0.0", right: "1.0.0" } };
let registry: NpmRegistry;

beforeEach(async () => {
  registry = new NpmRegistry();
  await registry.start();
  await registry.add("base");
  await registry.add("left", { base: "1.0.0" });
  await registry.add("right", { base: "1.0.0" });
  await registry.add("more");
});
afterEach(() => registry.close());

/** npm as in a new container: it has downloaded nothing yet, and has nobody's settings. */
function npmEnvironment(id: string): NodeJS.ProcessEnv {
  const home = join(folder, `home-${id}`);
  mkdirSync(home, { recursive: true });
  const own = { HOME: home, npm_config_registry: registry.url, npm_config_globalconfig: "/dev/null" };
  return { PATH: process.env.PATH, npm_config_update_notifier: "false", ...own };
}

/** What a set-up does: its packages, if some are kept, then the installation's line. Gives what was downloaded. */
async function setUp(
  caches: PackageCaches,
  id: string,
  of: PackagesOf,
  lockFile: string,
  project: object = PROJECT,
  uid = 0,
) {
  const container = await Container.start(caches, id);
  writeFileSync(join(container.app, "package.json"), JSON.stringify(project));
  if (lockFile) writeFileSync(join(container.app, "package-lock.json"), lockFile);
  const { from } = await caches.attach(id, of);
  const files = ["package.json", ...(lockFile ? ["package-lock.json"] : [])];
  const { command = "" } = installCommand({ files, incremental: from !== undefined });
  registry.downloads.length = 0;
  const env = npmEnvironment(id);
  // As a set-up does with the folder of the repository; that of the packages is berthd's.
  chmodSync(folder, 0o711);
  await must("chown", ["-R", `${uid}:${uid}`, container.app.replace(/\/app$/, ""), env.HOME ?? ""]);
  await container.sh(as(uid, command), env);
  return { container, downloads: [...registry.downloads].sort() };
}

/** Reads what root may, as here the programs and the container are root's, and writes what the account may. */
const as = (uid: number, command: string) =>
  `setpriv --reuid=${uid} --regid=${uid} --clear-groups --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search \
    bash -ec '${command}'`;

const has = (container: Container, names: string[]) =>
  container.sh(`node -p '${JSON.stringify(names)}.map(require).join(" ")'; node_modules/.bin/left`);

describe.runIf(isRoot).each(WAYS)("npm over packages by %s", (way) => {
  nodeForEachTest(way);

  it("downloads nothing for the second container of a repository or of a branch", async () => {
    const caches = await cachesOf();
    const wider = { ...PROJECT, dependencies: { left: "1.0.0", more: "1.0.0" } };
    const lockOf = async (id: string, project: object) => {
      const { container } = await setUp(caches, id, { ...PACKAGES, owner: "author" }, "", project);
      return container.sh("cat package-lock.json");
    };
    const [lock, widerLock] = [await lockOf("00000008", PROJECT), await lockOf("00000009", wider)];
    const all = ["base", "left", "right"];

    expect((await setUp(caches, "00000001", PACKAGES, lock)).downloads).toEqual(all);
    expect(await keepOf(caches, "00000001")).toMatchObject({ kept: true });

    const second = await setUp(caches, "00000002", PACKAGES, lock);
    expect(second.downloads).toEqual([]);
    await has(second.container, all);
    expect((await setUp(caches, "00000003", { ...PACKAGES, owner: "other" }, lock)).downloads).toEqual(all);

    const branch = { ...PACKAGES, branch: "x", mainBranch: "main" };
    const other = await setUp(caches, "00000004", branch, widerLock, wider);
    expect(other.downloads).toEqual(["more"]);
    await has(other.container, ["base", "left", "more"]);
    expect(await keepOf(caches, "00000004", branch, "lock-x")).toMatchObject({ kept: true });
    await has(second.container, all);
    expect(await second.container.sh("ls node_modules")).toBe("base\nleft\nright");

    expect((await setUp(caches, "00000005", branch, widerLock, wider)).downloads).toEqual([]);
    expect((await setUp(caches, "00000006", PACKAGES, lock)).downloads).toEqual([]);
  });

  it("installs as whichever account the image says, also anew over what is kept", async () => {
    const caches = await cachesOf();
    const wider = { ...PROJECT, dependencies: { left: "1.0.0", more: "1.0.0" } };
    const first = await setUp(caches, "00000001", PACKAGES, "", PROJECT, 1234);
    expect(await keepOf(caches, "00000001")).toMatchObject({ kept: true });
    const lock = await first.container.sh("cat package-lock.json");
    const next = await setUp(caches, "00000002", PACKAGES, lock, PROJECT, 1234);
    expect(next.downloads).toEqual([]);
    await has(next.container, ["base", "left", "right"]);
    // One goes and another one comes; then all of it goes.
    const other = await setUp(caches, "00000003", PACKAGES, "", wider, 1234);
    await has(other.container, ["base", "left", "more"]);
    await other.container.sh(as(1234, "npm ci --no-audit --no-fund"), npmEnvironment("00000003"));
    expect(await other.container.sh("ls node_modules; find node_modules -mindepth 1 ! -user 1234")).toBe(
      "base\nleft\nmore",
    );
  });
});
