/**
 * Tokens that the stack gave out, over a real database and real sockets. Proves: node.json's hash is all that berthd needs; another one
 * replaces it in place, and both are good for a day; nothing that was revoked or replaced on the node comes back by itself, and berthd
 * says that the stack's token is not good; one of a tenant that leaves ends, with what it has open, and is good again when the tenant
 * is back, unless all that it had was to go; what cannot be written down is tried again.
 */
import { hash } from "node:crypto";
import { expect, it } from "vitest";
import { z } from "zod";
import { isNamed, mayGo } from "../../../../agent/src/config";
import { Tokens } from "../../../../agent/src/http";
import type { Area } from "../../../../agent/src/http/areas";
import { answers } from "../../../../agent/src/http/route";
import { until } from "../../../lib/until";
import { configOf } from "../manager/rig";
import { api, endAfterEachTest } from "./cases";
import { type Api, call } from "./rig";

endAfterEachTest();

const day = 86_400_000;
/** Tokens as a stack derives them: 64 hexadecimal digits. */
const secret = (what: string) => hash("sha256", `seed of ${what}`, "hex");
const tenant = (name: string, token?: string) => ({
  name,
  ...(token !== undefined && { tokenHash: hash("sha256", token, "hex") }),
});
const [first, second, third] = ["first", "second", "third"].map(secret) as [string, string, string];

async function running(token?: string) {
  const clock = { now: 1_800_000_000_000 };
  const made = await api({
    node: { tenants: [tenant("web-ide", token)], manager: configOf() },
    now: () => clock.now,
    area,
  });
  return { made, clock };
}

let opened = 0;
/** A route and a stream of tenants. */
const area: Area = (app, { streams }) => {
  const schema = { response: answers(200, z.object({}), "Nothing.") };
  app.get("/test/theirs", { config: { tenants: true }, schema }, async () => ({}));
  streams.sse(app, "/test/events", {
    description: "Goes on and on.",
    guard: { config: { tenants: true } },
    open: async function* (_asked, { signal }) {
      opened++;
      yield { id: "1", data: "{}" };
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    },
  });
};
const ask = (made: Api, token: string, path = "/test/theirs") =>
  call("GET", path, { port: made.servers.managerPort as number, token });

/** What the stack's next update brings, as berthd takes it over. */
async function update(made: Api, ...tenants: ReturnType<typeof tenant>[]): Promise<void> {
  made.node.tenants = tenants;
  made.tokens.endOrphans();
  const noted = await made.tokens.noteOrphans();
  if (!noted.ok) throw new Error(noted.refusal.message);
  await made.servers.apply();
}
/** As a berthd that starts now reads them. */
function restarted({ store, node, ledger }: Api): Tokens {
  const tokens = new Tokens(
    store.tables.tokens,
    (...args) => ledger.saveTokens(...args),
    (what, name) => isNamed(node, what, name),
    (name) => !mayGo(node, name),
  );
  tokens.endOrphans();
  return tokens;
}
const known = (made: Api, ...tokens: string[]) => tokens.map((one) => made.tokens.identify(one)?.tenant);

it("the stack's token is its tenant's from the first moment, and the node has its hash alone", async () => {
  const { made } = await running(first);
  expect(known(made, first, second)).toEqual(["web-ide", undefined]);
  expect(made.tokens.list()).toMatchObject([
    {
      role: "tenant",
      owner: "web-ide",
      name: "stack",
      declared: true,
      id: expect.stringMatching(/^[0-9a-f]{12}$/),
    },
  ]);
  const { text } = await made.call("GET", "/api/tokens");
  expect(text).not.toContain(first);
  expect(made.tokens.identify(first.toUpperCase())).toBeUndefined();
});

it("the same hash again, after a restart too, changes nothing", async () => {
  const { made } = await running(first);
  const before = made.tokens.list();
  await update(made, tenant("web-ide", first));
  await made.servers.apply();
  expect(made.tokens.list()).toEqual(before);
  expect(made.store.tables.tokens.all()).toEqual(before);
});

it("another one replaces it in place: both are good for a day, then the new one alone", async () => {
  const { made, clock } = await running(first);
  await update(made, tenant("web-ide", second));
  expect(known(made, first, second)).toEqual(["web-ide", "web-ide"]);
  const [old, now] = made.tokens.list();
  expect([old?.replacedBy, old?.expiresAt]).toEqual([now?.id, clock.now + day]);
  clock.now += day / 2;
  await update(made, tenant("web-ide", third));
  expect(known(made, first, second, third)).toEqual(["web-ide", "web-ide", "web-ide"]);
  clock.now += day / 2;
  expect(known(made, first, second, third)).toEqual([undefined, "web-ide", "web-ide"]);
  clock.now += day;
  expect(known(made, first, second, third)).toEqual([undefined, undefined, "web-ide"]);
  expect(made.servers.problem).toBeUndefined();
});

it("leaves tokens alone that an operator made for the tenant, and those of other tenants", async () => {
  const { made, clock } = await running(first);
  const own = await made.tokens.create({ role: "tenant", owner: "web-ide" }, "root");
  await update(made, tenant("web-ide", second), tenant("bench", third));
  await update(made, tenant("web-ide", secret("fourth")), tenant("bench", third));
  clock.now += 2 * day;
  expect(known(made, own.ok ? own.value.token : "", third)).toEqual(["web-ide", "bench"]);
});

it("one that was revoked on the node stays so, and berthd says that back-ends were told of it", async () => {
  const { made } = await running(first);
  const [token] = made.tokens.list();
  await made.tokens.revoke(token?.id ?? "", "root");
  await made.servers.apply();
  expect(known(made, first)).toEqual([undefined]);
  expect(made.servers.problem).toBe(
    "the stack's token of tenant web-ide was revoked: raise tokenVersion of this tenant in berth:manager.tenants, and run npm run up",
  );
  await update(made, tenant("web-ide", second));
  expect([known(made, second), made.servers.problem]).toEqual([["web-ide"], undefined]);
});

it("one that was rotated on the node is not brought back, and the stack's next one replaces what is there", async () => {
  const { made, clock } = await running(first);
  const [token] = made.tokens.list();
  const rotated = await made.tokens.rotate(token?.id ?? "", 3600, "root");
  const here = rotated.ok ? rotated.value.token : "";
  await made.servers.apply();
  expect(known(made, first, here)).toEqual(["web-ide", "web-ide"]);
  expect(made.servers.problem).toContain("was replaced by");
  clock.now += day / 2;
  expect(known(made, first, here)).toEqual([undefined, "web-ide"]);
  await update(made, tenant("web-ide", second));
  clock.now += day;
  expect(known(made, here, second)).toEqual([undefined, "web-ide"]);
});

it("one of a tenant that leaves is refused, ends what it has open, and is good again when the tenant is back", async () => {
  const { made } = await running(first);
  const [token] = made.tokens.list();
  const open = ask(made, first, "/test/events");
  await until("it is open", 20_000, () => opened > 0);
  expect((await ask(made, first)).status).toBe(200);
  await update(made);
  expect((await open).text).toContain("not-allowed");
  expect([(await ask(made, first)).status, made.tokens.holds(token?.id ?? "")]).toEqual([401, false]);
  expect(restarted(made).identify(first)).toBeUndefined();
  await update(made, tenant("web-ide", first));
  expect([(await ask(made, first)).status, made.servers.problem]).toEqual([200, undefined]);
  expect(restarted(made).identify(first)?.tenant).toBe("web-ide");
});

it.each<[string, string[] | true]>([
  ["the tenant", ["web-ide"]],
  ["the node", true],
])("it is not where all that the tenant had was to go, by what the stack says of %s", async (_, purge) => {
  const { made } = await running(first);
  // In an update after the one that took it out.
  await update(made);
  made.node.purgeTenants = purge;
  await update(made);
  delete made.node.purgeTenants;
  await update(made, tenant("web-ide", first));
  expect([(await ask(made, first)).status, known(made, first)]).toEqual([401, [undefined]]);
  expect(restarted(made).identify(first)).toBeUndefined();
  expect(made.servers.problem).toContain("was revoked: raise tokenVersion");
  await update(made, tenant("web-ide", second));
  expect(known(made, first, second)).toEqual([undefined, "web-ide"]);
});

it("nor is one that was revoked or replaced before, or that an operator made", async () => {
  const { made } = await running(first);
  const own = await made.tokens.create({ role: "tenant", owner: "web-ide" }, "root");
  await update(made, tenant("web-ide", second));
  await update(made);
  await update(made, tenant("web-ide", second));
  const operators = own.ok ? own.value.token : "";
  expect(known(made, operators, first, second)).toEqual([undefined, undefined, "web-ide"]);
  // One that takes its place on the node comes back in its place.
  const id = made.tokens.list().find(({ replacedBy, revokedAt }) => !replacedBy && !revokedAt)?.id ?? "";
  const rotated = await made.tokens.rotate(id, 3600, "root");
  const here = rotated.ok ? rotated.value.token : "";
  await update(made);
  await update(made, tenant("web-ide", second));
  expect(known(made, second, here)).toEqual([undefined, "web-ide"]);
  await made.tokens.revoke(rotated.ok ? rotated.value.record.id : "", "root");
  await update(made);
  await update(made, tenant("web-ide", second));
  expect(known(made, second, here)).toEqual([undefined, undefined]);
});

it("one that cannot be written down is not good, is told of, and is tried again", async () => {
  const { made } = await running();
  const refusal = { code: "closed", message: "the disk is full" } as const;
  const writer = made.ledger as unknown as { saveTokens: unknown };
  writer.saveTokens = async () => ({ ok: false, refusal });
  await update(made, tenant("web-ide", first));
  expect(known(made, first)).toEqual([undefined]);
  expect(made.servers.problem).toContain("could not be written down yet");
  delete (writer as { saveTokens?: unknown }).saveTokens;
  await until("it is written down", 20_000, () => known(made, first)[0] === "web-ide");
  expect(made.servers.problem).toBeUndefined();
});
