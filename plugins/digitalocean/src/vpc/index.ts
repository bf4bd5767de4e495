/** `digitalocean:index/vpc:Vpc`. */
import type { ResourceType } from "@berth/plugin-base";
import { str } from "@berth/plugin-base/bridged";
import { ApiError, until } from "../api";
import { createOnce, defineResource, Line, type Session } from "../resource";
import { type ApiVpc, vpcBody, vpcFields, vpcMeta, vpcState } from "./map";

interface Answer {
  readonly vpc: ApiVpc;
}

const DELETE_MS = 2 * 60_000;

export function vpcType(session: () => Session): ResourceType {
  /** Creates of one region wait for each other: the API hands out address ranges, and two at once collide. */
  const line = new Line();

  return defineResource<ApiVpc>(session, {
    fields: vpcFields,
    meta: vpcMeta,
    state: vpcState,
    async create(inputs, work) {
      const { api, signal } = work;
      const [name, body] = [str(inputs, "name"), vpcBody(inputs)];
      const what = `create VPC ${name}`;
      const vpc = await createOnce<ApiVpc>(work, {
        what,
        request: body,
        idOf: ({ id }) => id,
        async find() {
          const all = await api.list<ApiVpc>("look for VPCs", "v2/vpcs", "vpcs", { signal });
          return all.filter((found) => found.name === name);
        },
        post: () =>
          line.run(str(inputs, "region") ?? "", async () => {
            return ((await api.post(what, "v2/vpcs", { signal, body, once: true })) as Answer).vpc;
          }),
        remove: "doctl vpcs delete",
      });
      return { id: vpc.id, found: vpc };
    },
    async read(id, _known, { api: client, signal }) {
      const answer = await client.find(`read VPC ${id}`, `v2/vpcs/${encodeURIComponent(id)}`, { signal });
      return answer === undefined ? undefined : { id, found: (answer as Answer).vpc };
    },
    async update(id, _olds, news, { api: client, signal }) {
      const call = { signal, body: { name: str(news, "name") } };
      return ((await client.patch(`update VPC ${id}`, `v2/vpcs/${id}`, call)) as Answer).vpc;
    },
    async delete(id, _olds, work) {
      const what = `delete VPC ${id}`;
      let last: ApiError | undefined;
      try {
        await until(work.api, what, work.deadline(DELETE_MS), async () => {
          try {
            await work.api.delete(what, `v2/vpcs/${id}`, { signal: work.signal });
            return true;
          } catch (error) {
            // Members that were just deleted still count for a while.
            if (!(error instanceof ApiError) || (error.status !== 403 && error.status !== 409)) throw error;
            last = error;
            return undefined;
          }
        });
      } catch (error) {
        throw work.signal.aborted ? error : (last ?? error);
      }
    },
  });
}
