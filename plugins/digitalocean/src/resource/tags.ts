/** Tags of droplets, volumes and firewalls. */
import { type Props, ProviderError } from "@berth/plugin-base";
import { type Field, set, string, strings } from "@berth/plugin-base/bridged";
import type { Work } from "./define";
import { ownTags } from "./journal";

export const TAG = /^[a-zA-Z0-9:_-]{1,255}$/;

/** Upper and lower case are one, as to the API. */
export const tagsField = (): Field =>
  set(string({ pattern: TAG, same: (a, b) => a.toLowerCase() === b.toLowerCase() }));

/** Which tags to take off and which to put on. Pure. */
export function tagChanges(olds: Props, news: Props): { remove: string[]; add: string[] } {
  const [before, after] = [ownTags(strings(olds, "tags")), ownTags(strings(news, "tags"))];
  const has = (tags: readonly string[], tag: string): boolean =>
    tags.some((other) => other.toLowerCase() === tag.toLowerCase());
  return {
    remove: before.filter((tag) => !has(after, tag)),
    add: after.filter((tag) => !has(before, tag)),
  };
}

/** Brings a resource's tags from the old to the new ones; a tag that does not exist is made. */
export async function setTags(
  work: Work,
  type: "droplet" | "volume",
  id: string,
  olds: Props,
  news: Props,
): Promise<void> {
  const { remove, add } = tagChanges(olds, news);
  const body = { resources: [{ resource_id: id, resource_type: type }] };
  const { api, signal } = work;
  for (const tag of remove) {
    const path = `v2/tags/${encodeURIComponent(tag)}/resources`;
    await api.delete(`take tag ${tag} off ${type} ${id}`, path, { signal, body });
  }
  for (const tag of add) {
    if (!TAG.test(tag))
      throw new ProviderError(`${tag} is no tag: letters, digits, ":", "-", "_"; at most 255`);
    await api.post(`create tag ${tag}`, "v2/tags", { signal, body: { name: tag } });
    const path = `v2/tags/${encodeURIComponent(tag)}/resources`;
    await api.post(`tag ${type} ${id} with ${tag}`, path, { signal, body });
  }
}
