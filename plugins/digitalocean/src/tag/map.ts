/** `digitalocean:index/tag:Tag`: properties and their place in the API. Pure. */
import type { Props } from "@berth/plugin-base";
import { type Fields, integer, string } from "@berth/plugin-base/bridged";
import { TAG } from "../resource";

export const tagFields: Fields = {
  name: string({ computed: true, replace: true, pattern: TAG }),
  totalResourceCount: integer({ output: true }),
  dropletsCount: integer({ output: true }),
  imagesCount: integer({ output: true }),
  volumesCount: integer({ output: true }),
  volumeSnapshotsCount: integer({ output: true }),
  databasesCount: integer({ output: true }),
};

interface Count {
  readonly count?: number;
}

export interface ApiTag {
  readonly name: string;
  readonly resources?: Count & {
    readonly droplets?: Count;
    readonly images?: Count;
    readonly volumes?: Count;
    readonly volume_snapshots?: Count;
    readonly databases?: Count;
  };
}

export function tagState({ name, resources }: ApiTag): Props {
  return {
    name,
    totalResourceCount: resources?.count ?? 0,
    dropletsCount: resources?.droplets?.count ?? 0,
    imagesCount: resources?.images?.count ?? 0,
    volumesCount: resources?.volumes?.count ?? 0,
    volumeSnapshotsCount: resources?.volume_snapshots?.count ?? 0,
    databasesCount: resources?.databases?.count ?? 0,
  };
}
