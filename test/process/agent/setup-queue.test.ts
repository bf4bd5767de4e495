/**
 * Many set-ups of managed containers, with the real git, a real Git host and commands that are real processes; dockerd is a stand-in.
 * Proves: nobody has more turns than they may, and one whose container goes ends and leaves nothing.
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { until } from "../../lib/until";
import {
  aContainer,
  aNode,
  ended,
  folder,
  host,
  lastOf,
  OWNER,
  request,
  SOON,
  setupsForEachTest,
  told,
  waitFor,
} from "./setup-rig";

setupsForEachTest();

describe("set-ups at a time", () => {
  it("are as many as there are places, and of one owner fewer; who has too many waiting is refused", async () => {
    await host.commit("acme", "app", { a: "1" });
    const go = join(folder, "go");
    const mine = [aContainer(), aContainer(), aContainer()];
    const other = aContainer({ owner: "other" });
    const node = await aNode([...mine, other], { places: { all: 2, owner: 1, mostOfOwner: 2 } });
    const ask = (one: (typeof mine)[number]) =>
      node.setups.ask(one.owner, one.id, request("app", one, { installCommand: waitFor(go) }));
    const [first, second, third] = mine as [
      (typeof mine)[number],
      (typeof mine)[number],
      (typeof mine)[number],
    ];
    for (const one of [first, second, other]) expect(await ask(one)).toMatchObject({ ok: true });
    expect(await ask(third)).toMatchObject({
      refusal: { code: "full", message: expect.stringContaining("of yours") },
    });
    expect(await ask(first)).toMatchObject({ refusal: { code: "conflict" } });
    for (const one of [first, other])
      await until("it installs", SOON, () => told(one.id).includes("installing"));
    expect(told(second.id)).toEqual(["queued"]);
    writeFileSync(go, "");
    for (const one of [first, second, other]) expect(await ended(one.id)).toMatchObject({ phase: "ready" });
    expect(await ask(third)).toMatchObject({ ok: true });
    expect(await ended(third.id)).toMatchObject({ phase: "ready" });
  });

  it("have as much of variables as berthd can keep for one owner, and no more", async () => {
    await host.commit("acme", "app", { a: "1" });
    const mine = Array.from({ length: 68 }, () => aContainer());
    const other = aContainer({ owner: "other" });
    const places = { all: 1, mostOfOwner: 100, mostOfAll: 100 };
    const node = await aNode([...mine, other], { places });
    const silent = { callbackUrl: undefined, callbackSecret: undefined };
    const envVars = Object.fromEntries([1, 2, 3, 4].map((n) => [`V${n}`, "x".repeat(32_000)]));
    const ask = (one: (typeof mine)[number], more = {}) =>
      node.setups.ask(one.owner, one.id, { ...request("app", one, { envVars, ...more }), ...silent });
    const [blocker, last, ...others] = mine as [(typeof mine)[number], ...typeof mine];
    await ask(blocker, { envVars: {}, installCommand: "sleep 600" });
    const asked = await Promise.all(others.map((one) => ask(one)));
    const refused = asked.flatMap((one) => (one.ok ? [] : [one.refusal.code]));
    expect(refused).toEqual(["over-limit"]);
    if (last) expect(await ask(last)).toMatchObject({ refusal: { code: "over-limit" } });
    if (last) expect(await ask(last, { envVars: {} })).toMatchObject({ ok: true });
    expect(await ask(other)).toMatchObject({ ok: true });
  });

  it.each(["queued", "installing"])(
    "one that is %s ends when its container is removed, and nothing of it stays",
    async (phase) => {
      await host.commit("acme", "app", { a: "1" });
      const [blocker, container] = [aContainer({ owner: "other" }), aContainer()];
      const node = await aNode([blocker, container], { places: { all: phase === "queued" ? 1 : 2 } });
      const never = { installCommand: "sleep 600" };
      await node.setups.ask("other", blocker.id, request("app", blocker, never));
      await until("the other installs", SOON, () => told(blocker.id).includes("installing"));
      await node.setups.ask(OWNER, container.id, request("app", container, never));
      await until("it is so far", SOON, () => told(container.id).includes(phase));
      await node.remove(container.id);
      await until("it is told", SOON, () => lastOf(container.id)?.phase === "failed");
      expect(lastOf(container.id)?.message).toBe("the container is removed");
      await until("it is forgotten", SOON, () => node.setups.phaseOf(container.id) === undefined);
      const db = new DatabaseSync(join(folder, "ledger.db"), { readOnly: true });
      const rows = db.prepare("SELECT container FROM setups").all();
      db.close();
      expect(rows).toEqual([{ container: blocker.id }]);
      expect(existsSync(join(folder, "cache/.work"))).toBe(true);
    },
  );
});
