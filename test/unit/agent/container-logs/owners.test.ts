/** Proves: whose a log is stays known as long as there is the log, also over a restart and a crash, and no longer. */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { append, endAll, id, logsOf, newFolder, other } from "./rig";

afterEach(endAll);

describe("the owner of a log", () => {
  it("is who was named last, from the moment on, and stays when the container is gone", async () => {
    const { logs, folder } = await logsOf([]);
    logs.open(id);
    expect(logs.ownerOf(id)).toBeUndefined();
    logs.open(id, "web-ide");
    expect(logs.ownerOf(id)).toBe("web-ide");
    logs.open(id);
    await append(logs, ["one"]);
    await logs.end(id);
    expect(logs.ownerOf(id)).toBe("web-ide");
    await logs.close();
    const again = await logsOf([], { folder });
    expect([again.logs.ownerOf(id), again.logs.ownerOf(other)]).toEqual(["web-ide", undefined]);
  });

  it("goes with the log after its time, with its file", async () => {
    let now = Date.now();
    const { logs, folder } = await logsOf([], { now: () => now, keepMs: 1000 });
    for (const one of [id, other]) logs.open(one, "bench");
    await append(logs, ["one"]);
    await logs.end(id);
    now += 2000;
    await logs.prune();
    await logs.close();
    expect([logs.ownerOf(id), logs.ownerOf(other)]).toEqual([undefined, "bench"]);
    expect(readdirSync(folder).filter((name) => name.includes("owner"))).toEqual([`${other}.owner`]);
  });

  it("of what a crash left half written is nobody", async () => {
    const folder = newFolder();
    writeFileSync(join(folder, `${id}.jsonl`), '{"seq":1,"timestamp":1,"source":"start","line":"x"}\n');
    writeFileSync(join(folder, `${id}.owner`), "");
    writeFileSync(join(folder, `${id}.owner.new`), "web-i");
    writeFileSync(join(folder, `${other}.owner`), "web-ide");
    writeFileSync(join(folder, "else.owner"), "web-ide");
    const { logs } = await logsOf([], { folder });
    await logs.close();
    expect([logs.has(id), logs.ownerOf(id), logs.ownerOf(other)]).toEqual([true, undefined, undefined]);
    expect(readdirSync(folder).sort()).toEqual([`${id}.jsonl`, `${id}.owner`, "else.owner"]);
  });
});
