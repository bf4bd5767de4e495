/** One call to the API: what is tried again and when, what an answer's refusal tells, and that cancel ends it. */
import { describe, expect, it } from "vitest";
import { Api, type Settings, settingsOf } from "../src/api";
import { scopeOf } from "../src/api/errors";
import { LONGEST_TOLD_MS, type Outcome, pauseMs, verdict } from "../src/api/retry";
import { type Answer, bag, closeServers, serve, TOKEN, testClock, thrown } from "./support";

closeServers();

const limits = { waitMinMs: 1000, waitMaxMs: 30_000 };
const settings = (url: string, over: Partial<Settings> = {}): Settings => ({
  token: TOKEN,
  endpoint: `${url}/`,
  retryMax: 4,
  perSecond: 0,
  ...limits,
  ...over,
});

/** Answers in turn; the last one stays. */
const inTurn =
  (...answers: Answer[]) =>
  (): Answer =>
    (answers.length > 1 ? answers.shift() : answers[0]) as Answer;

describe("what a try's end means", () => {
  it.each<[Outcome, string]>([
    [{ status: 200 }, "done"],
    [{ status: 404 }, "done"],
    [{ status: 422 }, "done"],
    [{ status: 429 }, "safe"],
    [{ status: 500 }, "unclear"],
    [{ status: 501 }, "done"],
    [{ status: 503 }, "unclear"],
    [{ code: "ECONNREFUSED" }, "safe"],
    [{ code: "ENOTFOUND" }, "safe"],
    [{ code: "ECONNRESET" }, "unclear"],
    [{ code: "TimeoutError" }, "unclear"],
  ])("%j is %s", (outcome, expected) => expect(verdict(outcome)).toBe(expected));
});

describe("how long to pause", () => {
  const now = 1_800_000_000_000;
  it.each<[string, Outcome, number, number, number | undefined]>([
    ["half of the first step at least", { status: 503 }, 0, 0, 500],
    ["all of it at most", { status: 503 }, 0, 1, 1000],
    ["doubled each time", { status: 503 }, 3, 1, 8000],
    ["never above the longest", { status: 503 }, 10, 1, 30_000],
    ["what the API says in seconds", { status: 429, headers: { "retry-after": "7" } }, 0, 0, 7000],
    ["never less than it says", { status: 503, headers: { "retry-after": "7" } }, 0, 1, 8000],
    [
      "until a date",
      { status: 429, headers: { "retry-after": new Date(now + 9000).toUTCString() } },
      0,
      0,
      9000,
    ],
    [
      "until the limit resets",
      { status: 429, headers: { "ratelimit-reset": String(now / 1000 + 60) } },
      0,
      0,
      60_000,
    ],
    [
      "its own step after a reset that is past",
      { status: 429, headers: { "ratelimit-reset": "1" } },
      0,
      0,
      500,
    ],
    ["not at all beyond the bound", { status: 429, headers: { "retry-after": "3600" } }, 0, 0, undefined],
    [
      "up to the bound",
      { status: 429, headers: { "retry-after": String(LONGEST_TOLD_MS / 1000) } },
      0,
      0,
      LONGEST_TOLD_MS,
    ],
  ])("%s", (_, outcome, attempt, random, expected) =>
    expect(pauseMs(outcome, attempt, limits, random, now)).toBe(expected),
  );
});

describe("a call", () => {
  it("is tried again after 429 and 5xx, with the pauses that were told or grow", async () => {
    const server = await serve(
      inTurn(
        { status: 429, headers: { "Retry-After": "3" } },
        { status: 502 },
        { drop: true },
        { body: { ok: 1 } },
      ),
    );
    const clock = testClock();
    expect(await new Api(settings(server.url), clock).get("look", "v2/x")).toEqual({ ok: 1 });
    expect(clock.slept).toEqual([3000, 500, 1000]);
  });

  it("comes again after 429 more often than retryMax, but not for ever, and never where no retry is wanted", async () => {
    const often = await serve(inTurn(...Array(9).fill({ status: 429 }), { body: { ok: 1 } }));
    const clock = testClock();
    const api = new Api(settings(often.url, { retryMax: 1 }), clock);
    expect(await api.get("look", "v2/x")).toEqual({ ok: 1 });
    expect(often.seen).toHaveLength(10);
    const always = await serve(() => ({ status: 429 }));
    await thrown(new Api(settings(always.url, { retryMax: 1 }), testClock()).get("look", "v2/x"));
    expect(always.seen).toHaveLength(31);
    const once = await serve(() => ({ status: 429 }));
    await thrown(new Api(settings(once.url, { retryMax: 0 }), testClock()).get("look", "v2/x"));
    expect(once.seen).toHaveLength(1);
  });

  it("gives up after retryMax and says what the API said", async () => {
    const server = await serve(() => ({ status: 503, body: { id: "down", message: "try later" } }));
    const said = await thrown(
      new Api(settings(server.url, { retryMax: 2 }), testClock()).get("look", "v2/x"),
    );
    expect(said).toBe("look: the DigitalOcean API answered 503: try later (down)");
    expect(server.seen).toHaveLength(3);
  });

  it("that must not be done twice is tried again only where it surely was not done", async () => {
    const unclear = await serve(inTurn({ status: 504 }, { body: {} }));
    await thrown(new Api(settings(unclear.url), testClock()).post("make", "v2/x", { once: true }));
    expect(unclear.seen).toHaveLength(1);
    const refused = await serve(inTurn({ status: 429 }, { body: {} }));
    await new Api(settings(refused.url), testClock()).post("make", "v2/x", { once: true });
    expect(refused.seen).toHaveLength(2);
  });

  it("does not wait for an hour's limit, but says until when", async () => {
    const clock = testClock();
    const reset = String(clock.now() / 1000 + 3600);
    const server = await serve(() => ({ status: 429, headers: { "ratelimit-reset": reset } }));
    const said = await thrown(new Api(settings(server.url), clock).get("look", "v2/x"));
    expect(said).toContain(`used up; run it again after ${new Date(clock.now() + 3_600_000).toISOString()}`);
    expect(clock.slept).toEqual([]);
  });

  it("waits for its turn with requestsPerSecond", async () => {
    const server = await serve(() => ({ body: {} }));
    const clock = testClock();
    const api = new Api(settings(server.url, { perSecond: 2 }), clock);
    for (let i = 0; i < 3; i++) await api.get("look", "v2/x");
    expect(clock.slept).toEqual([500, 500]);
  });

  it("ends at cancel, in a pause and in a request", async () => {
    const control = new AbortController();
    const paused = await serve(() => ({ status: 503, headers: { "Retry-After": "200" } }));
    const inPause = new Api(settings(paused.url)).get("look", "v2/x", { signal: control.signal });
    const never = await serve(() => new Promise<Answer>(() => {}));
    const inRequest = new Api(settings(never.url)).get("wait", "v2/y", { signal: control.signal });
    while (paused.seen.length === 0 || never.seen.length === 0) await new Promise((r) => setImmediate(r));
    control.abort(new Error("cancelled"));
    expect(await thrown(inPause)).toBe("look: cancelled");
    expect(await thrown(inRequest)).toBe("wait: cancelled");
  });

  it("reads a list to its last page", async () => {
    const server = await serve(({ path }) => {
      const page = Number(new URL(path, "http://x").searchParams.get("page"));
      const links = page < 3 ? { pages: { next: `http://elsewhere/?page=${page + 1}` } } : {};
      return { body: { things: [page * 10, page * 10 + 1], links } };
    });
    const api = new Api(settings(server.url), testClock());
    expect(await api.list("list", "v2/things", "things", { query: { tag_name: "a:b" } })).toEqual([
      10, 11, 20, 21, 30, 31,
    ]);
    expect(server.lines()[2]).toBe("GET /v2/things?tag_name=a%3Ab&page=3&per_page=200");
  });

  it("takes 404 as gone where it looks or deletes", async () => {
    const server = await serve(() => undefined);
    const api = new Api(settings(server.url), testClock());
    expect(await api.find("look", "v2/x")).toBeUndefined();
    await api.delete("delete", "v2/x");
  });
});

describe("a refusal", () => {
  const refused = async (answer: Answer, method: "get" | "post", path: string): Promise<string> => {
    const server = await serve(() => answer);
    return thrown(new Api(settings(server.url), testClock())[method]("do it", path));
  };
  it("401 says which token and where to make one, and never the token", async () => {
    const said = await refused(
      { status: 401, body: { id: "Unauthorized", message: "Unable to authenticate you" } },
      "get",
      "v2/droplets",
    );
    expect(said).toContain("Unable to authenticate you");
    expect(said).toContain("pulumi config set --secret digitalocean:token");
    expect(said).toContain("https://cloud.digitalocean.com/account/api/tokens");
    expect(said).not.toContain(TOKEN);
  });
  it("403 says which scope", async () => {
    const said = await refused(
      { status: 403, body: { message: "You are not authorized" } },
      "post",
      "v2/volumes",
    );
    expect(said).toContain("the scope block_storage:create");
  });
  it("422 is shown whole", async () => {
    const message = "creating this/these droplet(s) will exceed your droplet limit";
    const body = { id: "unprocessable_entity", message, request_id: "r-1" };
    expect(await refused({ status: 422, body }, "post", "v2/droplets")).toBe(
      `do it: the DigitalOcean API answered 422: ${message} (unprocessable_entity, request r-1)`,
    );
  });
  it("without a token says so before any request", async () => {
    const server = await serve(() => ({ body: {} }));
    const api = new Api(settings(server.url, { token: undefined }), testClock());
    expect(await thrown(api.get("look", "v2/x"))).toContain("no DigitalOcean token was given");
    expect(server.seen).toEqual([]);
  });
  it.each([
    ["POST", "v2/droplets", "droplet:create"],
    ["POST", "v2/droplets/1/actions", "droplet:update"],
    ["GET", "v2/actions/1", "actions:read"],
    ["POST", "v2/volumes/x/actions", "block_storage_action:create"],
    ["POST", "v2/reserved_ips/1.2.3.4/actions", "reserved_ip:update"],
    ["POST", "v2/projects/x/resources", "project:assign_resource"],
    ["PUT", "v2/firewalls/x", "firewall:update"],
    ["DELETE", "v2/account/keys/1", "ssh_key:delete"],
    ["GET", "v2/nowhere", undefined],
  ])("%s %s needs %s", (method, path, scope) => expect(scopeOf(method, path)).toBe(scope));
});

describe("settings", () => {
  it("come from the configuration first, then from the official variables, then from the official defaults", () => {
    expect(settingsOf(bag({}), {})).toEqual({
      token: undefined,
      endpoint: "https://api.digitalocean.com/",
      retryMax: 4,
      waitMinMs: 1000,
      waitMaxMs: 30_000,
      perSecond: 0,
    });
    const env = {
      DIGITALOCEAN_ACCESS_TOKEN: "second",
      DIGITALOCEAN_API_URL: "http://env:1",
      DIGITALOCEAN_HTTP_RETRY_MAX: "7",
      DIGITALOCEAN_REQUESTS_PER_SECOND: "0.5",
    };
    expect(settingsOf(bag({}), env)).toMatchObject({
      token: "second",
      endpoint: "http://env:1/",
      retryMax: 7,
      perSecond: 0.5,
    });
    expect(settingsOf(bag({}), { ...env, DIGITALOCEAN_TOKEN: "first" }).token).toBe("first");
    const given = { token: "given", apiEndpoint: "http://given:1/", httpRetryMax: 0, httpRetryWaitMin: 2 };
    expect(settingsOf(bag(given), env)).toMatchObject({
      token: "given",
      endpoint: "http://given:1/",
      retryMax: 0,
      waitMinMs: 2000,
    });
  });
  it("that cannot be used are all named", () => {
    const env = { DIGITALOCEAN_HTTP_RETRY_MAX: "many", DIGITALOCEAN_REQUESTS_PER_SECOND: "-1" };
    expect(() => settingsOf(bag({ apiEndpoint: "api.digitalocean.com" }), env)).toThrow(
      /apiEndpoint is "api\.digitalocean\.com".*RETRY_MAX is "many".*PER_SECOND is "-1"/,
    );
  });
});
