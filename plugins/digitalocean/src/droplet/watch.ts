/** Droplets, one by one or by one list. */
import { type Api, type Kind, Watch } from "../api";
import type { ApiDroplet } from "./map";

export async function readDroplet(
  id: string,
  api: Api,
  signal?: AbortSignal,
): Promise<ApiDroplet | undefined> {
  const answer = await api.find(`read droplet ${id}`, `v2/droplets/${encodeURIComponent(id)}`, { signal });
  return (answer as { readonly droplet: ApiDroplet } | undefined)?.droplet;
}

const droplets: Kind<ApiDroplet> = {
  one: (api, id, signal) => readDroplet(id, api, signal),
  // It leaves out droplets with GPUs.
  many: async (api) => {
    const all = await api.list<ApiDroplet>("look at the droplets", "v2/droplets", "droplets");
    return new Map(all.map((droplet) => [String(droplet.id), droplet]));
  },
};

export const watchOf = (api: Api): Watch<ApiDroplet> => Watch.of(api, droplets);
