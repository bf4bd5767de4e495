/** Looks a volume up. */
import type { Work } from "../resource";
import type { ApiVolume } from "./map";

/** Undefined: there is none. */
export async function findVolume(id: string, { api, signal }: Work): Promise<ApiVolume | undefined> {
  const answer = await api.find(`read volume ${id}`, `v2/volumes/${encodeURIComponent(id)}`, { signal });
  return (answer as { readonly volume: ApiVolume } | undefined)?.volume;
}
