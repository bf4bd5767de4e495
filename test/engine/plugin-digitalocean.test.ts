/**
 * Berth's digitalocean plugin under the real engine, against the test API: all that a cluster is made of there,
 * its edits, drift, refusals.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Api, startApi } from "../fakes/digitalocean";
import { type Edit, prepare, programText } from "./digitalocean-program";
import { Sandbox } from "./sandbox";

const MINUTE = 60_000;
const READER = "dop_v1_reader";
let sandbox: Sandbox;
let api: Api;
/** Console text of every run, in which no token may stand. */
const seen: string[] = [];

beforeAll(async () => {
  api = await startApi({
    rateLimits: false,
    limits: { droplets: 4 },
    tokens: { [READER]: ["droplet:read", "tag:read", "ssh_key:read", "vpc:read"] },
  });
  prepare(api);
  sandbox = await Sandbox.make(["digitalocean", "cloudinit"]);
}, 2 * MINUTE);

afterAll(async () => {
  await sandbox?.remove();
  await api?.close(); // rejects where a request or an answer was not as the API describes it
}, MINUTE);

afterEach(() => expect(seen.join("\n")).not.toContain(api.token));

function program(edit: Edit = {}, token = api.token): void {
  sandbox.program(programText({ url: api.url, token }, edit));
}

const steps = async (): Promise<string[]> =>
  (await sandbox.preview()).map(({ op, urn }) => `${op} ${urn.split("::").pop()}`).sort();

async function up(): Promise<string> {
  const { text } = await sandbox.up();
  seen.push(text);
  await api.idle();
  return text;
}

/** An `up` that must fail; its text. */
async function refused(args = ["up", "--yes", "--skip-preview"]): Promise<string> {
  const { code, text } = await sandbox.run(args);
  seen.push(text);
  expect(code, text).not.toBe(0);
  await api.idle();
  return text;
}

async function quiet(): Promise<void> {
  await sandbox.quiet();
  await sandbox.ok(["refresh", "--yes", "--skip-preview", "--expect-no-changes"]);
}

const names = (): string[] => [...api.state.droplets.values()].map(({ name }) => name).sort();
const idOf = async (name: string): Promise<string | undefined> =>
  (await sandbox.resources()).find(({ urn }) => urn.endsWith(`::${name}`))?.id;

describe("digitalocean plugin", () => {
  it(
    "touches nothing in a preview, and then makes everything",
    async () => {
      program();
      const { text } = await sandbox.ok(["preview", "--diff"]);
      seen.push(text);
      expect(api.requests).toEqual([]);
      await up();
      const { state } = api;
      expect(names()).toEqual(["head", "worker"]);
      const [volume] = state.volumes.values();
      const [head] = state.droplets.values();
      expect(head).toMatchObject({ status: "active", region: "fra1" });
      expect(head?.userData).toContain("hostname: one");
      expect(head?.tags).toEqual(new Set(["berth-test"]));
      expect(state.droplets.get(volume?.dropletId ?? 0)?.name).toBe("head");
      expect([...state.firewalls.values()].map((firewall) => state.covered(firewall).length)).toEqual([2]);
      const [reserved] = state.reservedIps.values();
      expect(state.droplets.get(reserved?.dropletId ?? 0)?.name).toBe("head");
      const records = [...(state.domains.get("berth.example")?.records.values() ?? [])];
      expect(records.find(({ type }) => type === "A")).toMatchObject({ name: "head", data: reserved?.ip });
      const project = [...state.projects.values()].find(({ name }) => name === "berth-test");
      expect(project?.resources.size).toBe(3);
      expect([...state.tags]).toEqual(["berth-test"]); // the plugin's own are gone
      expect((await sandbox.outputs()).address).toBe(reserved?.ip);
    },
    5 * MINUTE,
  );

  it("has nothing to do the second time, nor after a refresh", quiet, 5 * MINUTE);

  it(
    "adds a droplet, and takes it away again, without touching the others",
    async () => {
      const before = [await idOf("head"), await idOf("worker")];
      program({ droplets: ["head", "worker", "third"] });
      await up();
      expect(names()).toEqual(["head", "third", "worker"]);
      expect([await idOf("head"), await idOf("worker")]).toEqual(before);
      program();
      await up();
      expect(names()).toEqual(["head", "worker"]);
    },
    5 * MINUTE,
  );

  it(
    "resizes, renames and grows in place, in one run",
    async () => {
      const before = await idOf("head");
      const edit = { size: "s-4vcpu-8gb", name: "chief", volumeSize: 20 };
      program(edit);
      expect(await steps()).toEqual(["update data", "update head"]);
      await up();
      expect(await idOf("head")).toBe(before);
      expect(api.state.droplets.get(Number(before))).toMatchObject({
        name: "chief",
        size: "s-4vcpu-8gb",
        status: "active",
      });
      expect([...api.state.volumes.values()][0]?.sizeGigabytes).toBe(20);
      await quiet();
    },
    5 * MINUTE,
  );

  it(
    "refuses a smaller volume at preview, with both sizes",
    async () => {
      program({ size: "s-4vcpu-8gb", name: "chief", volumeSize: 10 });
      expect(await refused(["preview"])).toMatch(/size goes from 20 to 10 GiB, but a volume can only grow/);
    },
    5 * MINUTE,
  );

  it(
    "replaces a droplet for new user data, unless told to ignore it",
    async () => {
      const edit = { size: "s-4vcpu-8gb", name: "chief", volumeSize: 20, hostname: "two" };
      program({ ...edit, ignoreUserData: true });
      expect(await steps()).toEqual([]);
      program(edit);
      expect(await steps()).toEqual(expect.arrayContaining(["replace head", "replace worker"]));
      const before = await idOf("head");
      await up();
      const after = await idOf("head");
      expect(after).not.toBe(before);
      expect(names()).toEqual(["chief", "worker"]);
      expect(api.state.droplets.get(Number(after))?.userData).toContain("hostname: two");
      expect([...api.state.volumes.values()][0]?.dropletId).toBe(Number(after));
      program({ ...edit, hostname: "two" });
      await sandbox.quiet();
    },
    5 * MINUTE,
  );

  it(
    "makes again what somebody deleted",
    async () => {
      const worker = [...api.state.droplets.values()].find(({ name }) => name === "worker");
      const url = `${api.url}/v2/droplets/${worker?.id}`;
      const headers = { authorization: `Bearer ${api.token}` };
      expect((await fetch(url, { method: "DELETE", headers })).status).toBe(204);
      await api.idle();
      const { text } = await sandbox.ok(["refresh", "--yes", "--skip-preview"]);
      expect(text).toMatch(/worker\s+deleted|- .*worker/);
      await up();
      expect(names()).toEqual(["chief", "worker"]);
      await sandbox.quiet();
    },
    5 * MINUTE,
  );

  it(
    "answers the functions, from the account",
    async () => {
      const more = `
exports.regions = digitalocean.getRegions({}, { provider }).then(({ regions }) => regions.map(({ slug }) => slug));
exports.sizes = digitalocean.getSizes({}, { provider }).then(({ sizes }) => sizes.map(({ slug }) => slug));
exports.image = digitalocean.getImage({ slug: "debian-13-x64" }, { provider }).then(({ slug }) => slug);
`;
      program({ size: "s-4vcpu-8gb", name: "chief", volumeSize: 20, hostname: "two", more });
      await up();
      const { regions, sizes, image } = await sandbox.outputs();
      expect(regions).toContain("fra1");
      expect(sizes).toContain("s-8vcpu-16gb");
      expect(image).toBe("debian-13-x64");
    },
    5 * MINUTE,
  );

  it(
    "shows a refusal whole, with how to mend it",
    async () => {
      const edit = { size: "s-4vcpu-8gb", name: "chief", volumeSize: 20, hostname: "two" };
      const added = { ...edit, droplets: ["head", "worker", "third"] };
      program(added, "dop_v1_expired");
      const expired = await refused();
      expect(expired).toMatch(/answered 401: .*Unable to authenticate you/);
      expect(expired).toContain("The token is wrong, expired or revoked: create a personal access token");
      program(added, READER);
      const unscoped = await refused();
      expect(unscoped).toMatch(/create droplet third: .* answered 403: .*\(forbidden, request /i);
      expect(unscoped).toContain("The token may lack the scope droplet:create");
      program({ ...edit, droplets: ["head", "worker", "a", "b", "c"] });
      const quota = await refused();
      expect(quota).toMatch(
        /create droplet [abc]: .*422: creating this\/these droplet\(s\) will exceed your droplet limit/,
      );
      expect(names()).toHaveLength(4); // what fits was made
      program(edit);
      await up();
      expect(names()).toEqual(["chief", "worker"]);
      await quiet();
    },
    5 * MINUTE,
  );

  it(
    "keeps the token out of state, outputs, history and console",
    async () => {
      const shown = [
        (await sandbox.ok(["stack", "export"])).text,
        (await sandbox.ok(["stack", "output"])).text,
        (await sandbox.ok(["stack", "history", "--full-dates"])).text,
        sandbox.stateOnDisk(),
      ];
      for (const text of shown) expect(text).not.toContain(api.token);
      expect(JSON.stringify(api.requests.map(({ body, query }) => [body, query]))).not.toContain(api.token);
    },
    5 * MINUTE,
  );

  it(
    "leaves an empty account behind",
    async () => {
      seen.push((await sandbox.ok(["destroy", "--yes", "--skip-preview"])).text);
      await api.idle();
      const { state } = api;
      const left = [
        state.droplets,
        state.volumes,
        state.firewalls,
        state.reservedIps,
        state.domains.get("berth.example")?.records ?? new Map(),
        state.keys,
      ];
      expect(left.map(({ size }) => size)).toEqual([0, 0, 0, 0, 0, 0]);
      expect([...state.vpcs.values()].filter(({ name }) => name === "berth-test")).toEqual([]);
      expect([...state.projects.values()].map(({ name }) => name)).toEqual(["first-project"]);
      expect([...state.tags]).toEqual([]);
    },
    5 * MINUTE,
  );
});
