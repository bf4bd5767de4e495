/**
 * The route that has a container set up. Proves: tenants alone reach it, each for their own name; a body that is not right is refused
 * without a word of what was sent; what is refused is answered as its code says.
 */
import { expect, it } from "vitest";
import type { SetupRequest, SetupView } from "../../../../agent/src/setup";
import type { Result } from "../../../../core/gpu";
import { api, endAfterEachTest } from "./cases";

endAfterEachTest();

const view: SetupView = {
  ...{
    phase: "queued",
    status: "setting-up",
    message: "waiting for its turn",
    repo: "acme/app",
    sequence: 1,
  },
};

async function withSetups(answer: Result<SetupView> = { ok: true, value: view }) {
  const asked: { owner: string; id: string; body: SetupRequest }[] = [];
  const setups = {
    ask: async (owner: string, id: string, body: SetupRequest) => {
      asked.push({ owner, id, body });
      return answer;
    },
  };
  const made = await api({ node: { tenants: [{ name: "web-ide" }] }, forTenants: { setups } });
  const token = async (body: object) =>
    (await made.call("POST", "/api/tokens", { body })).body.token as string;
  const tenant = await token({ role: "tenant", owner: "web-ide" });
  const call = (body: unknown, more: object = {}) =>
    made.call("POST", "/api/containers/0a1b2c3d/setup", {
      port: made.servers.port,
      token: tenant,
      body,
      ...more,
    });
  return { made, asked, token, call };
}

it("a tenant asks for its own containers, and is answered at once", async () => {
  const { asked, call } = await withSetups();
  const body = {
    repo: "acme/app",
    branch: "main",
    envVars: { A: "1" },
    hasMainImage: false,
    buildMainImage: true,
  };
  expect(await call(body)).toMatchObject({ status: 202, body: { id: "0a1b2c3d", ...view } });
  expect(asked).toEqual([{ owner: "web-ide", id: "0a1b2c3d", body: { ...body, workdir: "/app" } }]);
});

it("nobody else reaches it: not root, no person, no program, and nobody without a token", async () => {
  const { made, asked, token, call } = await withSetups();
  const path = "/api/containers/0a1b2c3d/setup";
  const body = { repo: "acme/app" };
  expect((await made.call("POST", path, { body })).status).toBe(403);
  for (const role of [{ role: "service" }, { role: "admin" }, { role: "user", owner: "alice" }])
    expect((await call(body, { token: await token(role) })).status).toBe(403);
  expect((await call(body, { token: undefined })).status).toBe(401);
  expect(asked).toEqual([]);
});

it.each<[string, unknown]>([
  ["no repository", {}],
  ["a field that there is not", { repo: "a/b", image: "hidden-value" }],
  ["a variable that is none", { repo: "a/b", envVars: { "A=B": "hidden-value" } }],
  [
    "too many variables",
    {
      repo: "a/b",
      envVars: Object.fromEntries(
        Array.from({ length: 9 }, (_, n) => [`V${n}`, "hidden-value".repeat(2000)]),
      ),
    },
  ],
  ["a command that is no text", { repo: "a/b", startCommand: ["hidden-value"] }],
])("a body with %s is refused, without its values", async (_what, body) => {
  const { asked, call } = await withSetups();
  const answer = await call(body);
  expect([answer.status, answer.body.error.code]).toEqual([400, "bad-request"]);
  expect(answer.text).not.toContain("hidden-value");
  expect(asked).toEqual([]);
});

it.each([
  ["not-found", 404, undefined],
  ["conflict", 409, undefined],
  ["not-allowed", 403, undefined],
  ["full", 503, "10"],
] as const)("%s is answered with %i", async (code, status, retryAfter) => {
  const { call } = await withSetups({ ok: false, refusal: { code, message: "no" } });
  const answer = await call({ repo: "a/b" });
  expect([answer.status, answer.headers["retry-after"], answer.body.error.code]).toEqual([
    status,
    retryAfter,
    code,
  ]);
});
