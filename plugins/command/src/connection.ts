/** The `connection` input of the remote resources: its schema, its check, and the pool's shape of it. */
import {
  type CheckFailure,
  hasUnknown,
  type Property,
  type Props,
  prepareConnection,
  type Schema,
  type SshConnection,
  SshError,
  type SshProxy,
  type Value,
} from "@berth/plugin-base";

/** Names, defaults and secrets as in the official schema.json of pulumi-command 1.2.1; Berth signs in by keys alone. */
const server: Schema = {
  host: { type: "string", required: true, public: true },
  port: { type: "number", default: 22, min: 1, max: 65535 },
  user: { type: "string", default: "root", public: true },
  privateKey: { type: "string", secret: true },
  agentSocketPath: { type: "string", public: true },
  dialErrorLimit: { type: "integer", default: 10, min: -1 },
  perDialTimeout: { type: "integer", default: 15, min: 0 },
  hostKey: { type: "string", public: true },
};

export const connectionProperty: Property = {
  type: "object",
  required: true,
  secret: true,
  properties: { ...server, proxy: { type: "object", properties: server } },
};

/** What can be wrong with a connection before anything is connected: empty host, unreadable keys. */
export async function checkConnection(inputs: Props): Promise<CheckFailure[]> {
  const connection = inputs.connection;
  if (connection === undefined || hasUnknown(connection)) return [];
  const failures: CheckFailure[] = [];
  const look = async (to: SshProxy, property: string): Promise<void> => {
    if (to.host.trim() === "") {
      failures.push({ property: `${property}.host`, reason: "is empty; give a name or an address" });
      return;
    }
    try {
      await prepareConnection(to);
    } catch (error) {
      if (!(error instanceof SshError)) throw error;
      failures.push({ property, reason: error.message });
    }
  };
  const to = connectionOf(connection);
  await look(to, "connection");
  if (to.proxy !== undefined) await look(to.proxy, "connection.proxy");
  return failures;
}

/** Turns a checked `connection` into what the pool takes. */
export function connectionOf(value: Value | undefined): SshConnection {
  const given = (value ?? {}) as Props;
  const to = serverOf(given);
  const proxy = given.proxy;
  return proxy === undefined || proxy === null ? to : { ...to, proxy: serverOf(proxy as Props) };
}

function serverOf(given: Props): SshProxy {
  const out: Record<string, Value> = {};
  // State written by an older program may lack the defaults.
  for (const [key, property] of Object.entries(server)) {
    const value = given[key] ?? property.default;
    if (value !== undefined && value !== null) out[key] = value;
  }
  return out as unknown as SshProxy;
}
