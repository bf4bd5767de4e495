/** `digitalocean:index/volume:Volume`: properties and their place in the API. Pure. */
import { isUnknown, type PropertyChange, type Props, ProviderError } from "@berth/plugin-base";
import { type Fields, int, integer, set, str, string, strings, text } from "@berth/plugin-base/bridged";
import { lower, ownTags, SOME, sameSlug, tagsField } from "../resource";

const replace = true;

export const volumeFields: Fields = {
  region: string({ required: true, replace, same: sameSlug }),
  name: string({ computed: true, replace, pattern: SOME }),
  size: integer({ required: true, min: 1 }),
  description: string({ replace, pattern: SOME }),
  tags: tagsField(),
  volumeUrn: string({ output: true }),
  dropletIds: set(integer(), { output: true }),
};

export interface ApiVolume {
  readonly id: string;
  readonly name: string;
  readonly region: { readonly slug: string };
  readonly size_gigabytes: number;
  readonly description?: string;
  readonly droplet_ids?: readonly number[] | null;
  readonly tags?: readonly string[] | null;
}

/** @param tags beside those of the program. */
export function volumeBody(inputs: Props, tags: readonly string[]): Record<string, unknown> {
  return {
    name: str(inputs, "name"),
    description: text(inputs, "description"),
    region: lower(inputs.region),
    size_gigabytes: int(inputs, "size"),
    tags: [...(strings(inputs, "tags") ?? []), ...tags],
  };
}

export function volumeState(volume: ApiVolume, known: Props): Props {
  return {
    region: volume.region.slug,
    name: volume.name,
    size: volume.size_gigabytes,
    description: volume.description || (str(known, "description") ?? null),
    tags: ownTags(volume.tags),
    volumeUrn: `do:volume:${volume.id}`,
    dropletIds: [...(volume.droplet_ids ?? [])],
  };
}

/** A volume only ever grows. */
export function volumeChange(change: PropertyChange, olds: Props, news: Props): PropertyChange {
  const [before, after] = [int(olds, "size"), int(news, "size")];
  if (change.path[0] === "size" && before !== undefined && after !== undefined && !isUnknown(news.size)) {
    if (after < before) {
      throw new ProviderError(
        `size goes from ${before} to ${after} GiB, but a volume can only grow; give ${before} or more, ` +
          "or make a new volume and copy the data",
      );
    }
  }
  return change;
}
