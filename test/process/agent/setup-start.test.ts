/**
 * Start commands and main images of managed containers; commands are real processes, dockerd is a stand-in. Proves: a start command runs
 * once, whatever ends in between, and comes back when it ends; what it prints is in the log once; a main image is made, used, made anew
 * and taken away when it should be.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../lib/run";
import { until } from "../../lib/until";
import type { SetupNode } from "./setup-node";
import {
  aContainer,
  aNode,
  dockerd,
  ended,
  fileIn,
  folder,
  host,
  linesOf,
  nodes,
  OWNER,
  printed,
  request,
  SOON,
  setUp,
  setupsForEachTest,
  supervisors,
  told,
} from "./setup-rig";

setupsForEachTest();

const times = { start: 1000 };
/** Notes each of its starts. */
const noted = "echo x >>starts; exec sleep 600";
const starts = (container: { workdir: string }) => (fileIn(container, "starts") ?? "").length / 2;
/** As when a container stops: dockerd's stream of its log ends. */
function stopContainer(container: string): void {
  dockerd.end(container);
  dockerd.data.endLogs();
}

it("a start command that ends is started again, and one of a container that is set up anew ends", async () => {
  await host.commit("acme", "app", { a: "1" });
  const container = aContainer();
  const node = await aNode([container], { times });
  await setUp(
    node,
    container,
    request("app", container, { startCommand: "echo x >>starts; sleep 3; exit 5" }),
  );
  await until("it was started again", SOON, () => starts(container) >= 2);
  const [first] = supervisors(container.id);
  await setUp(node, container, request("app", container, { startCommand: noted }));
  expect(supervisors(container.id)).toHaveLength(1);
  expect(supervisors(container.id)).not.toContain(first);
  expect(starts(container)).toBe(1);
});

it("a start command is found again after a restart of berthd, and runs again after one of its container, with its variables", async () => {
  await host.commit("acme", "app", { a: "1" });
  const container = aContainer();
  const before = await aNode([container], { times });
  const startCommand = 'echo "$GREETING" >greeting; echo x >>starts; exec sleep 600';
  await setUp(before, container, request("app", container, { startCommand, envVars: { GREETING: "hello" } }));
  const [pid = 0] = supervisors(container.id);
  printed(container.container, "one");
  printed(container.container, "two");
  const lines = (node: SetupNode, count: number) =>
    until(`${count} lines`, SOON, async () => {
      const all = (await linesOf(node, container.id)).filter((line) => line.startsWith("start: "));
      return all.length >= count && all;
    });
  await lines(before, 2);
  await before.close();
  printed(container.container, "while berthd was away");
  const node = await aNode([container], { times });
  expect(node.setups.phaseOf(container.id)).toMatchObject({ phase: "ready" });
  await lines(node, 3);
  expect(supervisors(container.id)).toEqual([pid]);

  process.kill(-pid, "SIGKILL");
  stopContainer(container.container);
  await until("it is gone", SOON, () => supervisors(container.id).length === 0);
  rmSync(join(container.workdir, "greeting"));
  dockerd.run(container.container);
  node.setups.started(container.id);
  await until("it runs again", SOON, () => fileIn(container, "greeting") === "hello\n");
  expect([supervisors(container.id).length, starts(container)]).toEqual([1, 2]);
  printed(container.container, "after that");
  expect(await lines(node, 4)).toEqual([
    "start: one",
    "start: two",
    "start: while berthd was away",
    "start: after that",
  ]);
});

it("a start command outlives a dockerd that ends, and what is printed comes into the log once", async () => {
  await host.commit("acme", "app", { a: "1" });
  const container = aContainer();
  const node = await aNode([container], { times, lookEveryMs: 200 });
  await setUp(node, container, request("app", container, { startCommand: noted }));
  for (let n = 0; n < 30; n++) printed(container.container, `line ${n}`);
  await dockerd.stop();
  for (let n = 30; n < 60; n++) printed(container.container, `line ${n}`);
  await dockerd.start();
  node.setups.started(container.id);
  const all = await until("all are there", SOON, async () => {
    const got = (await linesOf(node, container.id)).filter((line) => line.startsWith("start: "));
    return got.length >= 60 && got;
  });
  expect(all).toEqual(Array.from({ length: 60 }, (_, n) => `start: line ${n}`));
  expect([supervisors(container.id).length, starts(container)]).toEqual([1, 1]);
});

/** That a container may be made from. */
const mainImage = ({ setups }: SetupNode) =>
  setups.imagesOf(OWNER).find(({ instead }) => instead === undefined)?.id;

it("a main image is made once, used by later containers, outdated by another lock file, and made anew from the base", async () => {
  await host.commit("acme", "app", { "package-lock.json": "{}" });
  const first = aContainer();
  const node = await aNode([first], { times });
  const setUpOf = (container: ReturnType<typeof aContainer>, more = {}) => {
    node.containers.set(container.id, container);
    node.logs.open(container.id);
    return setUp(node, container, request("app", container, more));
  };
  expect(mainImage(node)).toBeUndefined();
  await setUpOf(first, { buildMainImage: false });
  expect(dockerd.data.commits).toHaveLength(0);
  await setUpOf(first);
  const image = mainImage(node) ?? "";
  expect(image).toMatch(/^sha256:/);
  expect(node.setups.imagesOf(OWNER)).toMatchObject([{ id: image, shown: "acme-app:main" }]);
  expect(node.setups.imagesOf("other")).toEqual([]);
  // Nothing of Berth's that was true of the container is said of others.
  expect(dockerd.data.labels.get(image)).toMatchObject({
    "berth.owner": "",
    "berth.main-image-name": "acme-app:main",
  });
  await setUpOf(aContainer());
  expect(dockerd.data.commits).toHaveLength(1);

  await host.commit("acme", "app", { "package-lock.json": '{"a":1}', "package.json": "{}" });
  const from = aContainer({ image });
  Object.assign(dockerd.containers.get(from.container)?.Config ?? {}, {
    Labels: dockerd.data.labels.get(image),
  });
  await setUpOf(from, { installCommand: undefined, envVars: { PATH: "/nowhere" } }).catch(() => {});
  expect(await linesOf(node, from.id)).toContain(
    "setup: [berth] $ npm install --no-save --prefer-offline --no-audit --no-fund",
  );
  await setUpOf(from);
  // It stands on the old one: the next container begins from the base again.
  expect([dockerd.data.commits.length, mainImage(node)]).toEqual([1, undefined]);
  expect(node.setups.imagesOf(OWNER)).toMatchObject([{ id: image, instead: "sha256:base" }]);
  dockerd.data.used.add(image);
  // Also where the repository has gone back to what the old one was made of.
  await host.commit("acme", "app", { "package-lock.json": "{}" });
  await setUpOf(aContainer());
  expect(dockerd.data.commits).toHaveLength(2);
  const renewed = mainImage(node) ?? "";
  expect(renewed).not.toBe(image);

  await node.setups.tidy();
  expect([...dockerd.images.values()].sort()).toEqual([image, renewed].sort());
  dockerd.data.used.clear();
  await node.setups.tidy();
  expect([...dockerd.images.values()]).toEqual([renewed]);
  // Somebody takes it away by hand.
  dockerd.images.clear();
  await node.setups.tidy();
  expect(mainImage(node)).toBeUndefined();
});

it("a main image that a newer one follows goes at once", async () => {
  const containers = [1, 2, 3].map(() => aContainer());
  const node = await aNode(containers, { times });
  for (const [n, container] of containers.entries()) {
    await host.commit("acme", "app", { "package-lock.json": `{"n":${n}}` });
    await setUp(node, container, request("app", container));
  }
  expect(dockerd.data.commits).toHaveLength(3);
  expect([...dockerd.images.values()]).toEqual([node.setups.imagesOf(OWNER)[0]?.id]);
});

it("a set-up does not wait long for the main image of somebody else that is being made", async () => {
  for (const name of ["app", "large"]) await host.commit("acme", name, { a: "1" });
  const [mine, other] = [aContainer(), aContainer({ owner: "other" })];
  const node = await aNode([mine, other], { times, mainImages: { waitMs: 200 } });
  dockerd.mood("POST /commit", { kind: "hang" }, 1);
  await node.setups.ask("other", other.id, request("large", other));
  await until("it is being made", SOON, () => told(other.id).includes("building-image"));
  expect(await setUp(node, mine, request("app", mine))).toMatchObject({ phase: "ready" });
  expect((await linesOf(node, mine.id)).join("\n")).toContain(
    "no main image is made: the wait for other main images took longer than 0.2 seconds",
  );
  expect(told(other.id)).not.toContain("ready");
  await dockerd.stop();
  await dockerd.start();
  expect(await ended(other.id)).toMatchObject({ phase: "ready" });
});

it("a main image that containers are made from is used by that", async () => {
  await host.commit("acme", "app", { a: "1" });
  const [first, from] = [aContainer(), aContainer()];
  let now = Date.now();
  const node = await aNode([first, from], { times, mainImages: { now: () => now } });
  await setUp(node, first, request("app", first));
  const image = node.setups.imagesOf(OWNER)[0]?.id ?? "";
  Object.assign(dockerd.containers.get(from.container)?.Config ?? {}, {
    Labels: dockerd.data.labels.get(image),
  });
  now += 167 * 3_600_000;
  await setUp(node, from, request("app", from));
  now += 2 * 3_600_000;
  await node.setups.tidy();
  expect(node.setups.imagesOf(OWNER)).toMatchObject([{ id: image }]);
});

it("a main image that nobody used for a week goes, unless a container has it; over a restart of berthd", async () => {
  await host.commit("acme", "app", { a: "1" });
  const container = aContainer();
  let now = Date.now();
  const mainImages = { now: () => now };
  const before = await aNode([container], { times, mainImages });
  await setUp(before, container, request("app", container));
  await before.close();
  const node = await aNode([container], { times, mainImages });
  const there = () => dockerd.images.size;
  now += 167 * 3_600_000;
  await node.setups.tidy();
  expect(there()).toBe(1);
  const image = mainImage(node) ?? "";
  // A container is made from it; somebody else's is not.
  node.setups.useImage(OWNER, image);
  now += 167 * 3_600_000;
  node.setups.useImage("other", image);
  await node.setups.tidy();
  expect(there()).toBe(1);
  const from = aContainer({ image });
  Object.assign(dockerd.containers.get(from.container)?.Config ?? {}, {
    Labels: dockerd.data.labels.get(image),
  });
  node.containers.set(from.id, from);
  node.logs.open(from.id);
  await setUp(node, from, request("app", from));
  now += 167 * 3_600_000;
  await node.setups.tidy();
  expect(there()).toBe(1);
  now += 2 * 3_600_000;
  dockerd.data.used.add(image);
  await node.setups.tidy();
  expect([there(), node.setups.imagesOf(OWNER)[0]?.id]).toEqual([1, image]);
  dockerd.data.used.clear();
  await node.setups.tidy();
  expect([there(), node.setups.imagesOf(OWNER)]).toEqual([0, []]);
  expect(nodes).toHaveLength(2);
  expect((await must("ls", [folder])).stdout).toContain("ledger.db");
});
