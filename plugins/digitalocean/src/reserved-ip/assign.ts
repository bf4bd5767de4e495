/** Moving a reserved address to a droplet, or off it. */
import { ACTION_MS, type Action, type Api, actionDone, until } from "../api";
import type { Work } from "../resource";
import type { ApiReservedIp } from "./map";

/** How long the droplet's other actions are waited for; official. */
const BUSY_MS = 2 * 60_000;

export async function findAddress(ip: string, { api, signal }: Work): Promise<ApiReservedIp | undefined> {
  const answer = await api.find(`read reserved IP ${ip}`, `v2/reserved_ips/${ip}`, { signal });
  return (answer as { readonly reserved_ip: ApiReservedIp } | undefined)?.reserved_ip;
}

export async function assign(ip: string, dropletId: number, work: Work): Promise<void> {
  const what = `assign reserved IP ${ip} to droplet ${dropletId}`;
  const { api, signal } = work;
  const path = `v2/droplets/${dropletId}/actions`;
  await until(api, `${what} (waiting for the droplet's other actions)`, { signal, ms: BUSY_MS }, async () => {
    const answer = await api.get(what, path, { signal, query: { per_page: 50 } });
    const { actions } = answer as { readonly actions: readonly Action[] };
    return actions.some(({ status }) => status !== "completed" && status !== "errored") ? undefined : true;
  });
  await act(api, what, ip, { type: "assign", droplet_id: dropletId }, signal);
}

export async function unassign(ip: string, { api, signal }: Work): Promise<void> {
  await act(api, `take reserved IP ${ip} off its droplet`, ip, { type: "unassign" }, signal);
}

async function act(api: Api, what: string, ip: string, body: object, signal: AbortSignal): Promise<void> {
  const path = `v2/reserved_ips/${ip}/actions`;
  const { action } = (await api.post(what, path, { signal, body })) as { readonly action: Action };
  await actionDone(api, what, action, { signal, ms: ACTION_MS }, `${path}/${action.id}`);
}
