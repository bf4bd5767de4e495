/**
 * Packages that containers share, with real mounts, on a node and in containers that are mount namespaces. Proves, with overlays
 * and with copies: what one container does reaches no other; packages come to containers that run already, and are there after
 * restarts of container, berthd and node; caches of other owners, branches and images are not given; nothing stays mounted.
 * Does not prove dockerd's part: that a container's mount is made as `mountFor` says.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { must } from "../../lib/run";
import {
  Container,
  cachesOf,
  folder,
  generations,
  isRoot,
  keepFirst,
  keepOf,
  listing,
  mounts,
  node,
  nodeForEachTest,
  PACKAGES,
  reboot,
  treeOf,
  WAYS,
  warnings,
} from "./packages-rig";

const INSTALL = `cd node_modules; mkdir -p left/lib .bin; echo one >left/lib/index.js; echo two >left/package.json
ln -s ../left/lib/index.js .bin/left; chmod 755 left/lib/index.js`;
const [A, B, C] = ["0000000a", "0000000b", "0000000c"] as const;

describe.runIf(isRoot).each(WAYS)("packages by %s", (way) => {
  nodeForEachTest(way);

  it("come to the next container as the first one installed them", async () => {
    const caches = await cachesOf();
    const first = await keepFirst(caches, INSTALL);
    const next = await Container.start(caches, A);
    expect(await next.sh("ls -A node_modules")).toBe("");
    expect(await caches.attach(A, PACKAGES)).toEqual({
      name: "o-r-node_modules",
      from: { generation: 1, branch: "own", fingerprint: "lock-1" },
    });
    const sees = (container: Container) => listing(`${container.app}/node_modules`, container.enter);
    expect(await sees(next)).toEqual(await sees(first));
    expect(warnings.filter((line) => line.includes("gets a copy"))).toHaveLength(way === "copy" ? 1 : 0);
  });

  it("of one container are not changed by another one, and neither is what is kept", async () => {
    const caches = await cachesOf();
    await keepFirst(caches, INSTALL);
    const [one, other] = [await Container.start(caches, A), await Container.start(caches, B)];
    for (const id of [A, B]) await caches.attach(id, PACKAGES);
    const sees = (container: Container) => listing(`${container.app}/node_modules`, container.enter);
    const [before, cache] = [await sees(other), treeOf((await generations())[0] ?? "")];
    const inCache = await listing(cache);
    await one.sh(`cd node_modules; echo evil >>left/lib/index.js; echo evil >left/package.json; chmod 777 left
      touch new; ln -sfn /etc .bin/left; mv left right; rm -r right/lib; mkdir left; echo evil >left/package.json`);
    expect(await sees(other)).toEqual(before);
    expect(await listing(cache)).toEqual(inCache);
    await other.sh("cat node_modules/left/lib/index.js; rm -rf node_modules/*");
    expect(await one.sh("cat node_modules/left/package.json; ls node_modules")).toBe(
      "evil\nleft\nnew\nright",
    );
    expect(await listing(cache)).toEqual(inCache);
  });

  it("stay as a container left them when it, berthd and the node start again", async () => {
    const before = await cachesOf();
    await keepFirst(before, INSTALL);
    const container = await Container.start(before, A);
    await before.attach(A, PACKAGES);
    await container.sh(
      `cd node_modules; rm left/package.json; echo mine >mine; node -e 'fs.renameSync("left", "right")'`,
    );
    const says = (one: Container) => one.sh("cd node_modules; find . -type f | sort");
    const files = "./mine\n./right/lib/index.js";

    const caches = await cachesOf([A]);
    expect(await says(container)).toBe(files);
    await container.stop();
    expect(await says(await Container.start(caches, A))).toBe(files);

    await reboot();
    const early = await Container.start(caches, A);
    const after = await cachesOf([A]);
    expect(await says(early)).toBe(files);
    expect(await after.attach(A, PACKAGES)).toMatchObject({ from: { generation: 1 } });
    expect(after.usage()).toMatchObject({ containers: 1, caches: [{ generation: 1, inUse: true }] });
    expect(warnings.filter((line) => line.includes("should be"))).toEqual([]);
  });

  it("go with their container, also where somebody still works in them", async () => {
    const caches = await cachesOf();
    await keepFirst(caches, INSTALL);
    const container = await Container.start(caches, A);
    await caches.attach(A, PACKAGES);
    const busy = container.begin("cd node_modules/left; echo in; exec sleep 60");
    await new Promise((resolve) => busy.stdout?.once("data", resolve));
    await caches.detach(A);
    await caches.detach(A);
    expect(readdirSync(join(folder, "packages/containers"))).toEqual(["00000001"]);
    expect(await mounts()).toEqual(way === "copy" ? [] : [expect.stringContaining("00000001")]);
    busy.kill();
    await cachesOf();
    expect(await mounts()).toEqual([]);
    expect(readdirSync(join(folder, "packages/containers"))).toEqual([]);
  });

  it("are those of the owner, repository and image alone, and a branch gets its own or the main one's", async () => {
    const caches = await cachesOf();
    const on = (branch: string) => ({ ...PACKAGES, branch, mainBranch: "main" });
    await keepFirst(caches, INSTALL);
    await keepFirst(caches, "echo x >node_modules/x", { id: "00000002", of: on("x"), fingerprint: "lock-x" });
    const { repository } = PACKAGES;
    const cases = [
      [{ ...PACKAGES, owner: "other" }, undefined],
      [{ ...PACKAGES, image: "node:22" }, undefined],
      [{ ...PACKAGES, repository: { ...repository, name: "R" } }, undefined],
      [{ ...PACKAGES, repository: { ...repository, host: "git.lan" } }, undefined],
      [{ ...PACKAGES, branch: "y" }, undefined],
      [on("y"), { generation: 1, branch: "main", fingerprint: "lock-1" }],
      [on("x"), { generation: 1, branch: "own", fingerprint: "lock-x" }],
      [on("main"), { generation: 1, branch: "own", fingerprint: "lock-1" }],
    ] as const;
    for (const [index, [of, from]] of cases.entries()) {
      const id = `000000f${index}`;
      const container = await Container.start(caches, id);
      expect((await caches.attach(id, of)).from).toEqual(from);
      const names = await container.sh("ls node_modules");
      expect(names).toBe(
        from === undefined ? "" : from.branch === "own" && of.branch === "x" ? "left\nx" : "left",
      );
    }
  });

  it("are kept again only when others were installed, and old ones go when nobody has them", async () => {
    const caches = await cachesOf();
    await keepFirst(caches, INSTALL);
    for (const id of [A, B, C]) {
      await Container.start(caches, id);
      if (id !== C) await caches.attach(id, PACKAGES);
    }
    expect(await keepOf(caches, A)).toEqual({ kept: false, why: "unchanged" });
    expect(await keepOf(caches, A, PACKAGES, "lock-2")).toMatchObject({
      kept: true,
      generation: 2,
      entries: 7,
    });
    expect(await keepOf(caches, C, PACKAGES, "lock-3")).toEqual({ kept: false, why: "empty" });
    const numbers = async () => (await generations()).map((one) => one.split("/")[1]);
    expect(await numbers()).toEqual(["1", "2"]);
    expect(await caches.attach(C, PACKAGES)).toMatchObject({ from: { generation: 2 } });
    await caches.detach(A);
    await caches.evict();
    expect(await numbers()).toEqual(["1", "2"]);
    for (const id of [B, "00000001"]) await caches.detach(id);
    await Promise.all([caches.evict(), caches.evict()]);
    expect(await numbers()).toEqual(["2"]);
    expect(caches.usage()).toMatchObject({
      caches: [{ generation: 2, name: "o-r-node_modules", owner: "acme" }],
    });
    expect(existsSync(join(folder, "packages/work"))).toBe(true);
    expect(readdirSync(join(folder, "packages/work"))).toEqual([]);
  });

  it.runIf(way === "overlay")("are in a mount without setuid programs and devices", async () => {
    const caches = await cachesOf();
    await keepFirst(caches, INSTALL);
    const args = ["findmnt", "--noheadings", "--output", "OPTIONS,FSTYPE", "--mountpoint"];
    const [program = "", ...enter] = node.enter;
    const { stdout } = await must(program, [...enter, ...args, (await mounts())[0] ?? ""]);
    expect(stdout).toMatch(/nosuid,nodev.*overlay/);
  });
});
