/** `digitalocean:index/vpc:Vpc`. */
import type { ResourceType } from "@berth/plugin-base";
import { type Api, ApiError, until } from "../api";
import { bool, str } from "../bridge";
import { defineResource } from "../resource";
import { type ApiVpc, vpcBody, vpcFields, vpcMeta, vpcState } from "./map";

interface Answer {
  readonly vpc: ApiVpc;
}

const DELETE_MS = 2 * 60_000;

export function vpcType(api: () => Api): ResourceType {
  /** Creates of one region wait for each other: the API hands out address ranges, and two at once collide. */
  const lines = new Map<string, Promise<unknown>>();
  const inLine = async <T>(region: string, work: () => Promise<T>): Promise<T> => {
    const next = (lines.get(region) ?? Promise.resolve()).then(work);
    lines.set(
      region,
      next.catch(() => {}),
    );
    return await next;
  };

  return defineResource<ApiVpc>(api, {
    fields: vpcFields,
    meta: vpcMeta,
    state: vpcState,
    async create(inputs, { api: client, signal }) {
      const what = `create VPC ${str(inputs, "name")}`;
      const call = { signal, body: vpcBody(inputs), once: true };
      const post = async (): Promise<Answer> => (await client.post(what, "v2/vpcs", call)) as Answer;
      const { vpc } = await inLine(str(inputs, "region") ?? "", post);
      return { id: vpc.id, found: vpc };
    },
    async read(id, _known, { api: client, signal }) {
      const answer = await client.find(`read VPC ${id}`, `v2/vpcs/${encodeURIComponent(id)}`, { signal });
      return answer === undefined ? undefined : { id, found: (answer as Answer).vpc };
    },
    async update(id, olds, news, { api: client, signal }) {
      const body = {
        name: str(news, "name"),
        description: str(news, "description") ?? "",
        default: bool(olds, "default") ?? false,
      };
      const answer = await client.put(`update VPC ${id}`, `v2/vpcs/${id}`, { signal, body });
      return (answer as Answer).vpc;
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
