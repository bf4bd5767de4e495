/**
 * Tokens that the stack gave out, over a real database and real sockets. Proves: node.json's hash is all that berthd needs; another one
 * replaces it in place, and both are good for a day; nothing that was revoked or replaced on the node comes back by itself, and berthd
 * says that the stack's token is not good; what cannot be written down is tried again.
 */
import { hash } from "node:crypto";
import { expect, it } from "vitest";
import { until } from "../../../lib/until";
import { configOf } from "../manager/rig";
import { api, endAfterEachTest } from "./cases";
import type { Api } from "./rig";

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
  });
  return { made, clock };
}

/** What the stack's next update brings. */
async function update(made: Api, ...tenants: ReturnType<typeof tenant>[]): Promise<void> {
  made.node.tenants = tenants;
  await made.servers.apply();
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

it("one of a tenant that leaves is not good, and is again when the tenant comes back", async () => {
  const { made } = await running(first);
  await update(made);
  expect(known(made, first)).toEqual([undefined]);
  await update(made, tenant("web-ide", first));
  expect(known(made, first)).toEqual(["web-ide"]);
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
