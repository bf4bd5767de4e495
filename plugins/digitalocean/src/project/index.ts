/** `digitalocean:index/project:Project` and `digitalocean:index/projectResources:ProjectResources`. */
import type { ResourceType } from "@berth/plugin-base";
import { str, strings } from "@berth/plugin-base/bridged";
import { ApiError, until } from "../api";
import { createOnce, defineResource, type Session, type Work } from "../resource";
import {
  type ApiProject,
  projectBody,
  projectFields,
  projectMeta,
  projectResourcesFields,
  projectState,
  resourceChanges,
} from "./map";

const DELETE_MS = 3 * 60_000;

interface Answer {
  readonly project: ApiProject;
}

export function projectType(session: () => Session): ResourceType {
  return defineResource<ApiProject>(session, {
    fields: projectFields,
    meta: projectMeta,
    state: projectState,
    async create(inputs, work) {
      const what = `create project ${str(inputs, "name")}`;
      const { api, signal } = work;
      const body = projectBody(inputs);
      const found = await createOnce<ApiProject>(work, {
        what,
        request: body,
        idOf: ({ id }) => id,
        async find() {
          const all = await api.list<ApiProject>("look for projects", "v2/projects", "projects", { signal });
          return all.filter(({ name }) => name === body.name);
        },
        post: async () =>
          ((await api.post(what, "v2/projects", { signal, body, once: true })) as Answer).project,
        remove: "doctl projects delete",
      });
      return { id: found.id, found };
    },
    async read(id, _known, { api: client, signal }) {
      const answer = await client.find(`read project ${id}`, pathOf(id), { signal });
      return answer === undefined ? undefined : { id, found: (answer as Answer).project };
    },
    async update(id, _olds, news, { api: client, signal }) {
      const call = { signal, body: projectBody(news) };
      return ((await client.patch(`update project ${id}`, pathOf(id), call)) as Answer).project;
    },
    async delete(id, _olds, work) {
      const what = `delete project ${id}`;
      await until(
        work.api,
        `${what} (waiting for its resources to leave)`,
        work.deadline(DELETE_MS),
        async () => {
          try {
            await work.api.delete(what, pathOf(id), { signal: work.signal });
            return true;
          } catch (error) {
            // Resources leave in the background.
            if (error instanceof ApiError && error.status === 412 && /with resources/.test(error.said))
              return undefined;
            throw error;
          }
        },
      );
    },
  });
}

export function projectResourcesType(session: () => Session): ResourceType {
  return defineResource<{ id: string; urns: readonly string[] }>(session, {
    fields: projectResourcesFields,
    state: ({ id, urns }, known) => ({
      project: id,
      // Only those asked for here: a project holds others too.
      resources: (strings(known, "resources") ?? []).filter((urn) => urns.includes(urn)),
    }),
    async create(inputs, work) {
      const id = str(inputs, "project") ?? "";
      const wanted = strings(inputs, "resources") ?? [];
      await assign(id, wanted, work);
      return { id, found: { id, urns: wanted } };
    },
    async read(id, _known, work) {
      const urns = await held(id, work);
      return urns === undefined ? undefined : { id, found: { id, urns } };
    },
    async update(id, olds, news, work) {
      const wanted = strings(news, "resources") ?? [];
      const { remove, add } = resourceChanges(strings(olds, "resources") ?? [], wanted);
      await toDefault(id, remove, work);
      await assign(id, add, work);
      return { id, urns: wanted };
    },
    async delete(id, olds, work) {
      await toDefault(id, strings(olds, "resources") ?? [], work);
    },
  });
}

const pathOf = (id: string): string => `v2/projects/${encodeURIComponent(id)}`;

/** What a project holds; undefined: there is no such project. */
async function held(id: string, { api, signal }: Work): Promise<readonly string[] | undefined> {
  const what = `read project ${id}`;
  if ((await api.find(what, pathOf(id), { signal })) === undefined) return undefined;
  const all = await api.list<{ urn: string }>(what, `${pathOf(id)}/resources`, "resources", { signal });
  return all.map(({ urn }) => urn);
}

async function assign(id: string, urns: readonly string[], { api, signal }: Work): Promise<void> {
  if (urns.length === 0) return;
  const call = { signal, body: { resources: urns } };
  await api.post(`assign resources to project ${id}`, `${pathOf(id)}/resources`, call);
}

/**
 * A resource is always in some project: what leaves this one goes to the default one. What the project does not hold
 * (any more) is left out: the API refuses all if one is gone, and a deleted droplet is.
 */
async function toDefault(id: string, gone: readonly string[], work: Work): Promise<void> {
  if (gone.length === 0) return;
  // Reserved IPs are listed under their older name.
  const listed = (urn: string): string => urn.replace(/^do:reservedip:/, "do:floatingip:");
  const there = ((await held(id, work)) ?? []).map(listed);
  const urns = gone.filter((urn) => there.includes(listed(urn)));
  if (urns.length === 0) return;
  const answer = await work.api.get("find the default project", "v2/projects/default", {
    signal: work.signal,
  });
  await assign((answer as Answer).project.id, urns, work);
}
