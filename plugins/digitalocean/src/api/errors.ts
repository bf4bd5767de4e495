/** What an API's refusal means, and how to mend it. Pure. */
import { ProviderError } from "@berth/plugin-base";

/** The API refused, or could not be reached. */
export class ApiError extends ProviderError {
  constructor(
    message: string,
    /** HTTP status; undefined: no answer came. */
    readonly status: number | undefined,
    /** Its own words, `Droplet already has a pending event.`; empty if it had none. */
    readonly said: string,
    /** True if the request may have been carried out all the same. */
    readonly unclear: boolean,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

const TOKENS = "https://cloud.digitalocean.com/account/api/tokens";

export const NO_TOKEN =
  "no DigitalOcean token was given. Create a personal access token with write access at " +
  `${TOKENS}, then: pulumi config set --secret digitalocean:token TOKEN (or set DIGITALOCEAN_TOKEN)`;

/** The body of a refusal: https://docs.digitalocean.com/reference/api/ "HTTP Statuses". */
export interface ErrorBody {
  readonly id?: string;
  readonly message?: string;
  readonly request_id?: string;
}

/** Reads a refusal's body; one that is not JSON (a proxy's page) is shown as it is, cut short. */
export function parseError(text: string): ErrorBody {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== "object" || body === null) return {};
    const field = (key: string): string | undefined => {
      const value = (body as Record<string, unknown>)[key];
      return typeof value === "string" && value !== "" ? value : undefined;
    };
    return { id: field("id"), message: field("message"), request_id: field("request_id") };
  } catch {
    const plain = text.replace(/\s+/g, " ").trim();
    return plain === "" ? {} : { message: plain.slice(0, 300) };
  }
}

/**
 * @param what the step, `create droplet web`.
 * @param method of the request, for the scope that a 403 lacks.
 * @param path without the endpoint, `v2/droplets/1`.
 */
export function refusal(
  what: string,
  status: number,
  body: ErrorBody,
  method: string,
  path: string,
  unclear = false,
): ApiError {
  const said = body.message ?? "";
  const names = [body.id, body.request_id === undefined ? undefined : `request ${body.request_id}`];
  const detail = names.filter((name) => name !== undefined).join(", ");
  const text = `${what}: the DigitalOcean API answered ${status}: ${said || "without a reason"}${detail === "" ? "" : ` (${detail})`}`;
  return new ApiError(`${text}${advice(status, method, path, said)}`, status, said, unclear);
}

function advice(status: number, method: string, path: string, said: string): string {
  if (status === 401) {
    return (
      ". The token is wrong, expired or revoked: create a personal access token at " +
      `${TOKENS}, then: pulumi config set --secret digitalocean:token TOKEN (or set DIGITALOCEAN_TOKEN)`
    );
  }
  if (status === 403) {
    const scope = scopeOf(method, path);
    const which = scope === undefined ? "the scope for it" : `the scope ${scope}`;
    return `. The token may lack ${which}: add it at ${TOKENS}, or make a token with full access`;
  }
  const taken = (status === 409 || status === 422) && method === "POST" && TAKEN.test(said);
  return taken && CREATES.test(path)
    ? ". If it was left behind by an interrupted run, take it over with: pulumi import TYPE NAME ID"
    : "";
}

const CREATES = /^v2\/(vpcs|firewalls|projects|account\/keys|volumes)$/;
const TAKEN = /already|duplicate|exists|in use|taken|unique|overlap/i;

/** Path -> scope without its verb; the first that fits. Source: `security` in DigitalOcean's OpenAPI description. */
const SCOPES: readonly (readonly [RegExp, string])[] = [
  [/^v2\/account\/keys/, "ssh_key"],
  [/^v2\/actions/, "actions"],
  [/^v2\/volumes\/[^/]+\/actions/, "block_storage_action"],
  [/^v2\/volumes/, "block_storage"],
  [/^v2\/reserved_ips/, "reserved_ip"],
  [/^v2\/droplets/, "droplet"],
  [/^v2\/firewalls/, "firewall"],
  [/^v2\/domains/, "domain"],
  [/^v2\/projects/, "project"],
  [/^v2\/images/, "image"],
  [/^v2\/regions/, "regions"],
  [/^v2\/sizes/, "sizes"],
  [/^v2\/tags/, "tag"],
  [/^v2\/vpcs/, "vpc"],
];

/** The scope that a custom token needs for a request, `droplet:create`; undefined if none is known. */
export function scopeOf(method: string, path: string): string | undefined {
  const area = SCOPES.find(([pattern]) => pattern.test(path))?.[1];
  if (area === undefined) return undefined;
  if (method === "GET") return `${area}:read`;
  if (method === "DELETE") return /\/tags\/[^/]+\/resources$/.test(path) ? "tag:create" : `${area}:delete`;
  if (method === "PUT" || method === "PATCH") return `${area}:update`;
  if (/\/projects\/[^/]+\/resources$/.test(path)) return "project:assign_resource";
  if (/^v2\/(droplets|reserved_ips)\/[^/]+\/actions$/.test(path)) return `${area}:update`;
  return `${area}:create`;
}
