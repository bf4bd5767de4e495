/** `digitalocean:index/droplet:Droplet`. */
import type { ResourceType } from "@berth/plugin-base";
import { defineResource, type Session } from "../resource";
import { createDroplet } from "./create";
import { deleteDroplet } from "./delete";
import {
  type ApiDroplet,
  checkDroplet,
  dropletChange,
  dropletPreview,
  dropletState,
  storedDroplet,
} from "./map";
import { dropletFields, dropletMeta } from "./schema";
import { updateDroplet } from "./update";
import { findDroplet } from "./wait";

export function dropletType(session: () => Session): ResourceType {
  return defineResource<ApiDroplet>(session, {
    fields: dropletFields,
    meta: dropletMeta,
    check: checkDroplet,
    adjust: dropletChange,
    previewed: dropletPreview,
    stored: storedDroplet,
    state: dropletState,
    create: createDroplet,
    async read(id, _known, work) {
      const found = await findDroplet(id, work);
      return found === undefined ? undefined : { id, found };
    },
    update: updateDroplet,
    delete: deleteDroplet,
  });
}
