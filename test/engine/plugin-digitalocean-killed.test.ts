/**
 * `up` killed, with its plugins, while it makes droplets and all that goes with them: the next `up` takes over what
 * the killed one made and could not note, and makes nothing twice. Each point is a moment at the API, so that none
 * depends on how fast the computer is: a request whose answer never comes, or work that the API holds back.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Api, type ApiOptions, startApi } from "../fakes/digitalocean";
import { until } from "../lib/until";
import { prepare, programText } from "./digitalocean-program";
import { Sandbox } from "./sandbox";

const MINUTE = 60_000;
let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await Sandbox.make(["digitalocean"], { typescript: false });
}, 2 * MINUTE);

afterAll(async () => {
  await sandbox?.remove();
}, MINUTE);

interface Point {
  readonly name: string;
  readonly method: string;
  readonly path: RegExp;
  /** Action types that the API holds back meanwhile. Default: it carries the request out, and its answer is lost. */
  readonly held?: readonly string[];
  /** The nth such request. Default 1. */
  readonly nth?: number;
}

const points: readonly Point[] = [
  { name: "the SSH key", method: "POST", path: /^\/v2\/account\/keys$/ },
  { name: "the VPC", method: "POST", path: /^\/v2\/vpcs$/ },
  { name: "a droplet", method: "POST", path: /^\/v2\/droplets$/ },
  { name: "the wait for droplets", method: "GET", path: /^\/v2\/droplets\/\d+$/, held: ["create"], nth: 3 },
  { name: "the volume", method: "POST", path: /^\/v2\/volumes$/ },
  { name: "the firewall", method: "POST", path: /^\/v2\/firewalls$/ },
  { name: "the reserved IP", method: "POST", path: /^\/v2\/reserved_ips$/ },
  { name: "the DNS record", method: "POST", path: /^\/v2\/domains\/[^/]+\/records$/ },
  { name: "the project", method: "POST", path: /^\/v2\/projects$/ },
  {
    name: "the volume's attachment",
    method: "POST",
    path: /^\/v2\/volumes\/.*\/actions$/,
    held: ["attach_volume"],
  },
];

/** Starts an `up` and kills it at the point. */
async function killedAt(api: Api, { name, method, path, held, nth = 1 }: Point): Promise<void> {
  const seen = (): number =>
    api.requests.filter((request) => request.method === method && path.test(request.path)).length;
  if (held !== undefined) api.setDelay((type) => (held.includes(type) ? Number.POSITIVE_INFINITY : 0));
  else api.fail({ kind: "lost-answer", method, path, times: 1 });
  const up = sandbox.start(["up", "--yes", "--skip-preview"]);
  let said = "";
  for (const stream of [up.stdout, up.stderr]) stream?.on("data", (chunk: Buffer) => (said += chunk));
  // It asks often: a kill that is late is one at another point.
  await until(name, 5 * MINUTE, () => up.exitCode !== null || seen() >= nth, 5);
  if (seen() < nth) throw new Error(`up came to its end before ${name}:\n${said}`);
  await sandbox.kill(up);
  api.setDelay(0);
  api.release();
  await api.idle();
}

/** What the account holds, by kind, without what is always there. */
function held({ state }: Api): Record<string, string[]> {
  const all = <T>(map: ReadonlyMap<unknown, T>, name: (thing: T) => string): string[] =>
    [...map.values()].map(name).sort();
  const [volume] = state.volumes.values();
  const [address] = state.reservedIps.values();
  return {
    keys: all(state.keys, ({ name }) => name),
    vpcs: all(state.vpcs, ({ name }) => name).filter((name) => name === "berth-test"),
    droplets: all(state.droplets, ({ name, status }) => `${name} ${status}`),
    volumes: all(state.volumes, ({ name }) => name),
    firewalls: all(state.firewalls, ({ name }) => name),
    addresses: all(state.reservedIps, ({ region }) => region),
    records: all(state.domains.get("berth.example")?.records ?? new Map(), ({ type }) => type).filter(
      (type) => type === "A",
    ),
    projects: all(state.projects, ({ name }) => name).filter((name) => name === "berth-test"),
    tags: [...state.tags],
    onHead: [volume?.dropletId, address?.dropletId].map((id) => state.droplets.get(id ?? 0)?.name ?? "none"),
  };
}

const whole = {
  keys: ["berth-test"],
  vpcs: ["berth-test"],
  droplets: ["head active", "worker active"],
  volumes: ["berth-data"],
  firewalls: ["berth-test"],
  addresses: ["fra1"],
  records: ["A"],
  projects: ["berth-test"],
  tags: ["berth-test"],
  onHead: ["head", "head"],
};

let count = 0;
/** A new account and a new stack; done, the account must be as described. */
async function inNewAccount(work: (api: Api) => Promise<void>, options: ApiOptions = {}): Promise<void> {
  const api = await startApi({ rateLimits: false, delay: 0, ...options });
  prepare(api);
  try {
    await sandbox.ok(["stack", "init", `killed-${++count}`]);
    sandbox.program(programText({ url: api.url, token: api.token }, { plain: true }));
    await work(api);
    await sandbox.ok(["stack", "rm", "--yes", "--force", `killed-${count}`]);
  } finally {
    await api.close();
  }
}

describe("an up that was killed", () => {
  it.each(points)(
    "at $name is finished by the next one, and nothing is there twice",
    (point) =>
      inNewAccount(async (api) => {
        await killedAt(api, point);
        const pending = await sandbox.recover();
        expect(pending).not.toEqual([]);
        await sandbox.up();
        await api.idle();
        expect(held(api)).toEqual(whole);
        await sandbox.quiet();
      }),
    5 * MINUTE,
  );
});
