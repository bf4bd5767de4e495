/** How the API is reached: the plugin's configuration, and what stands in the environment for what is absent. Pure. */
import { type Bag, isUnknown, ProviderError, type Schema } from "@berth/plugin-base";

const SPACES = "this plugin has no Spaces resources; use the official digitalocean plugin for them";

/** The provider's own settings (`pulumi:providers:digitalocean`), as in the official plugin. */
export const configSchema: Schema = {
  token: { type: "string", secret: true },
  apiEndpoint: { type: "string", public: true },
  httpRetryMax: { type: "integer", min: 0 },
  httpRetryWaitMin: { type: "number", min: 0 },
  httpRetryWaitMax: { type: "number", min: 0 },
  requestsPerSecond: { type: "number", min: 0 },
  spacesAccessId: { type: "string", secret: true, unsupported: SPACES },
  spacesSecretKey: { type: "string", secret: true, unsupported: SPACES },
  // The SDK fills it in from SPACES_ENDPOINT_URL by itself; without Spaces resources it does nothing.
  spacesEndpoint: { type: "string" },
};

export interface Settings {
  /** Undefined: none was given; the first call says so. */
  readonly token: string | undefined;
  /** Ends in "/". */
  readonly endpoint: string;
  /** Retries after the first try. Default 4. */
  readonly retryMax: number;
  /** Milliseconds of the first pause. Default 1,000. */
  readonly waitMinMs: number;
  /** Milliseconds of the longest pause that we choose ourselves. Default 30,000. */
  readonly waitMaxMs: number;
  /** 0: no limit. Default 0. */
  readonly perSecond: number;
}

type Env = Readonly<Record<string, string | undefined>>;

/**
 * @param env where the official plugin's variables are looked up for what the configuration leaves out:
 * DIGITALOCEAN_TOKEN, DIGITALOCEAN_ACCESS_TOKEN, DIGITALOCEAN_API_URL, DIGITALOCEAN_HTTP_RETRY_MAX,
 * DIGITALOCEAN_HTTP_RETRY_WAIT_MIN, DIGITALOCEAN_HTTP_RETRY_WAIT_MAX, DIGITALOCEAN_REQUESTS_PER_SECOND.
 * @throws ProviderError naming every value that cannot be used.
 */
export function settingsOf(config: Bag, env: Env): Settings {
  const faults: string[] = [];
  const given = (key: string): string | undefined => {
    const value = config.values[key];
    return typeof value === "string" && value !== "" && !isUnknown(value) ? value : undefined;
  };
  const number = (key: string, variable: string, standard: number): number => {
    const value = config.values[key];
    if (typeof value === "number") return value;
    const text = env[variable];
    if (text === undefined || text === "") return standard;
    const parsed = Number(text);
    if (Number.isFinite(parsed) && parsed >= 0) return parsed;
    faults.push(`${variable} is "${text}"; give it as a number of 0 or more`);
    return standard;
  };
  const endpoint = given("apiEndpoint") ?? (env.DIGITALOCEAN_API_URL || "https://api.digitalocean.com");
  if (!isHttp(endpoint)) {
    faults.push(`apiEndpoint is "${endpoint}"; give it as a URL such as https://api.digitalocean.com`);
  }
  const settings: Settings = {
    token: given("token") ?? (env.DIGITALOCEAN_TOKEN || env.DIGITALOCEAN_ACCESS_TOKEN || undefined),
    endpoint: endpoint.endsWith("/") ? endpoint : `${endpoint}/`,
    retryMax: number("httpRetryMax", "DIGITALOCEAN_HTTP_RETRY_MAX", 4),
    waitMinMs: 1000 * number("httpRetryWaitMin", "DIGITALOCEAN_HTTP_RETRY_WAIT_MIN", 1),
    waitMaxMs: 1000 * number("httpRetryWaitMax", "DIGITALOCEAN_HTTP_RETRY_WAIT_MAX", 30),
    perSecond: number("requestsPerSecond", "DIGITALOCEAN_REQUESTS_PER_SECOND", 0),
  };
  if (faults.length > 0) throw new ProviderError(`provider digitalocean: ${faults.join("; ")}`);
  return settings;
}

function isHttp(text: string): boolean {
  try {
    const url = new URL(text);
    return (url.protocol === "https:" || url.protocol === "http:") && url.username === "";
  } catch {
    return false;
  }
}
