/** Turns by themselves: what they write, whom they answer, and what they take back. A store and a log in memory. */
import { describe, expect, it } from "vitest";
import { type Batch, StoreError, Turn, Writer } from "../../../../agent/src/store";

const token = (id: string) => ({ id, hash: `hash-${id}`, role: "service" as const, createdAt: 1 });
const fine = { ok: true as const, value: undefined };

function made() {
  const batches: Batch[] = [];
  const told: string[] = [];
  const of = {
    batches,
    told,
    /** Set: the next commits fail. */
    broken: false,
    after: (_turn: Turn) => {},
    logged: [] as string[],
    writer: new Writer<Turn>({
      store: {
        commit: (batch) => {
          if (of.broken) throw new StoreError("full", "no room");
          batches.push(structuredClone(batch));
        },
        checkpoint: () => undefined,
      },
      log: { append: (lines) => of.logged.push(...lines.map(({ line }) => line)), written: 0 },
      nextEvent: 5,
      turn: (nextEvent) => new Turn(1000, nextEvent),
      nextToken: () => 42,
      afterCommands: (turn) => of.after(turn),
      onTrouble: ({ message }) => told.push(`trouble: ${message}`),
      onRecovered: () => told.push("recovered"),
    }),
  };
  return of;
}

describe("a turn", () => {
  it("is one batch: rows in the order in which they were put, and numbered lines", async () => {
    const { writer, batches, logged } = made();
    const asked = ["a", "b"].map((id) =>
      writer.submit((turn) => {
        turn.put("tokens", token(id));
        turn.log("token-made", { id, by: undefined });
        expect(turn.rowsOf("tokens").map((row) => row.id)).toContain(id);
        expect(turn.rowsOf("grants")).toEqual([]);
        return { ok: true, value: id };
      }),
    );
    expect(await Promise.all(asked)).toEqual([
      { ok: true, value: "a" },
      { ok: true, value: "b" },
    ]);
    expect(batches).toHaveLength(1);
    expect(batches[0]?.puts).toEqual([
      { table: "tokens", row: token("a") },
      { table: "tokens", row: token("b") },
    ]);
    expect(batches[0]?.nextToken).toBe(42);
    expect(logged.map((line) => JSON.parse(line))).toEqual([
      { seq: 5, event: "token-made", at: "1970-01-01T00:00:01.000Z", id: "a" },
      { seq: 6, event: "token-made", at: "1970-01-01T00:00:01.000Z", id: "b" },
    ]);
    writer.close();
  });

  it("that fails takes back what was changed, the last change first, refuses all, and numbers its lines anew", async () => {
    const of = made();
    const { writer, told } = of;
    const change = (id: string) =>
      writer.submit((turn) => {
        turn.put("tokens", token(id));
        turn.log("changed", { id });
        turn.onUndo(() => told.push(`undo ${id}`));
        turn.onWritten(() => told.push(`written ${id}`));
        return fine;
      });
    of.broken = true;
    of.after = (turn) => turn.onUndo(() => told.push("undo after"));
    const [one, two] = await Promise.all([change("one"), change("two")]);
    expect(told).toEqual(["undo after", "undo two", "undo one", "trouble: no room"]);
    for (const result of [one, two]) expect(result).toMatchObject({ ok: false, refusal: { code: "closed" } });
    expect(writer.problem?.message).toBe("no room");
    expect(of.logged).toEqual([]);
    of.broken = false;
    expect(await change("three")).toEqual(fine);
    expect(told.slice(4)).toEqual(["recovered", "written three"]);
    expect(writer.problem).toBeUndefined();
    expect(JSON.parse(of.logged[0] ?? "")).toMatchObject({ seq: 5, id: "three" });
    writer.close();
  });

  it("drops what a command did before it threw, and nothing of the others", async () => {
    const { writer, told, batches, logged } = made();
    const change = (id: string, error?: Error) =>
      writer.submit((turn) => {
        turn.put("tokens", token(id));
        turn.log("changed", { id });
        turn.onUndo(() => told.push(`undo ${id}`));
        turn.onWritten(() => told.push(`written ${id}`));
        if (error) throw error;
        return fine;
      });
    const asked = await Promise.allSettled([change("a"), change("b", new Error("a mistake")), change("c")]);
    expect(asked.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(told).toEqual(["undo b", "written a", "written c"]);
    expect(batches[0]?.puts.map(({ row }) => row)).toEqual([token("a"), token("c")]);
    expect(logged.map((line) => JSON.parse(line)).map(({ seq, id }) => [seq, id])).toEqual([
      [5, "a"],
      [6, "c"],
    ]);
    writer.close();
  });

  it("with nothing to write is answered without a commit", async () => {
    const { writer, batches } = made();
    expect(await writer.submit(() => fine)).toEqual(fine);
    expect(batches).toEqual([]);
    await writer.drained();
    writer.close();
  });
});
