/**
 * A DigitalOcean API to test against: the public API's paths, JSON, errors, actions, rate limits and pages, served
 * from memory on loopback. It is a state machine of the resources that Berth uses; no machine is made unless a
 * hook makes one.
 *
 * Both sides of each request are compared with the API's own description, which the official client
 * (`@digitalocean/dots`) carries in its generated code; see `shapes/`. A property, parameter or path that it does
 * not know is refused with 422 or 404, kept in `violations` with its path, and `close()` rejects with them all, so
 * that no test passes beside one. Limits of that check: the client's code does not say which properties may be null
 * or must be there, so null fits everywhere, and what must be there is written down in `shapes/required.ts`.
 *
 * Sources of the behaviour: the description's own text (repository digitalocean/openapi), and for what it leaves
 * out or gets wrong the errors that users of the API report (a comment at the place says so).
 */
import type { AddressInfo } from "node:net";
import { type Fault, Faults } from "./faults";
import { RateLimiter, type RateLimits } from "./limits";
import { makeServer, type SeenRequest } from "./server";
import { loadDescription } from "./shapes";
import { type Delay, type Hooks, type Limits, World } from "./world";

export type { Fault, FaultKind } from "./faults";
export type { RateLimits } from "./limits";
export type { SeenRequest } from "./server";
export { type Description, differences, loadDescription } from "./shapes";
export type {
  ActionInfo,
  Addresses,
  Delay,
  DropletEvent,
  DropletInfo,
  FirewallInfo,
  Hooks,
  Limits,
  ReservedIpInfo,
  VolumeInfo,
  VpcInfo,
  World,
} from "./world";

export interface ApiOptions {
  readonly hooks?: Hooks;
  /** How long things take, in milliseconds; `Infinity` holds them until `release()`. @default 5 */
  readonly delay?: Delay;
  /** What the account may have. @default 25 droplets, 100 volumes, 20 reserved IPs, 50 keys, 50 firewalls, 20 VPCs */
  readonly limits?: Partial<Limits>;
  /** `false` for no limits. @default the API's own */
  readonly rateLimits?: RateLimits | false;
  /** Scopes of further tokens, such as `{ reader: ["droplet:read"] }`. */
  readonly tokens?: Readonly<Record<string, readonly string[] | "all">>;
  readonly faults?: readonly Fault[];
  /** Milliseconds since 1970; for dates and rate limits, never for delays. @default Date.now */
  readonly clock?: () => number;
  /** @default 0, a free one */
  readonly port?: number;
  /**
   * Reserved addresses begin after that many. Where two of these APIs have machines on one computer at a time, each needs
   * its own: an address leads to one machine. @default 0
   */
  readonly reservedFrom?: number;
}

export interface Api {
  /** `http://127.0.0.1:PORT`, without `/v2`. */
  readonly url: string;
  /** A token with full access. */
  readonly token: string;
  /** Everything that the account holds; tests may read it, and change it to play what happened elsewhere. */
  readonly state: World;
  /** Requests so far, oldest first. */
  readonly requests: readonly SeenRequest[];
  /** Differences from the description so far, of either side. */
  readonly violations: readonly string[];
  /** Gives the violations and forgets them: for a test that expects them. */
  takeViolations(): string[];
  /** Arms a fault; gives what takes it back. */
  fail(fault: Fault): () => void;
  setDelay(delay: Delay): void;
  /** Lets work that an `Infinity` held go on: all, or these action types. */
  release(...types: string[]): void;
  /** Resolves when nothing is under way. */
  idle(): Promise<void>;
  /** Stops; drops what has not begun, waits for hooks that run. Rejects when there were violations. */
  close(): Promise<void>;
}

const limits: Limits = { droplets: 25, volumes: 100, reservedIps: 20, keys: 50, firewalls: 50, vpcs: 20 };
const none = Number.POSITIVE_INFINITY;

/**
 * Starts the API on loopback.
 *
 * @example
 * const api = await startApi({ hooks: { onDroplet: (event, droplet) => nodes.play(event, droplet) } });
 * const env = { DIGITALOCEAN_TOKEN: api.token, DIGITALOCEAN_API_URL: api.url };
 * api.fail({ kind: "lost-answer", method: "POST", path: "/v2/droplets", times: 1 });
 * // …
 * await api.idle();
 * await api.close();
 */
export async function startApi(options: ApiOptions = {}): Promise<Api> {
  const description = await loadDescription();
  const clock = options.clock ?? Date.now;
  const world = new World({
    hooks: options.hooks ?? {},
    limits: { ...limits, ...options.limits },
    delay: options.delay ?? 5,
    clock,
    ...(options.reservedFrom === undefined ? {} : { reservedFrom: options.reservedFrom }),
  });
  // The form of a personal access token.
  const token = `dop_v1_${"0123456789abcdef".repeat(4)}`;
  const tokens = new Map<string, readonly string[] | "all">([
    [token, "all"],
    ...Object.entries(options.tokens ?? {}),
  ]);
  const rates =
    options.rateLimits === false
      ? { hour: none, minute: none, keyLists: none }
      : { hour: 5000, minute: 250, keyLists: 10, ...options.rateLimits };
  const faults = new Faults();
  for (const fault of options.faults ?? []) faults.add(fault);
  const requests: SeenRequest[] = [];
  const violations: string[] = [];
  const limiter = new RateLimiter(rates, clock);
  const server = makeServer({ world, description, limiter, faults, tokens, requests, violations });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", resolve);
  });
  world.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  return {
    url: world.url,
    token,
    state: world,
    requests,
    violations,
    takeViolations: () => violations.splice(0),
    fail: (fault) => faults.add(fault),
    setDelay: (delay) => world.works.setDelay(delay),
    release: (...types) => world.works.release(...types),
    idle: () => world.works.idle(),
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await world.works.close();
      if (violations.length > 0)
        throw new Error(
          `requests or answers that are not as the API describes them:\n${violations.join("\n")}`,
        );
    },
  };
}
