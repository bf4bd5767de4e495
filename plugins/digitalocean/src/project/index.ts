/** `digitalocean:index/project:Project` and `digitalocean:index/projectResources:ProjectResources`. */
import { type Props, ProviderError, type ResourceType } from "@berth/plugin-base";
import { str, strings } from "@berth/plugin-base/bridged";
import { ApiError, until } from "../api";
import { changed, createOnce, defineResource, HalfMade, type Session, type Work } from "../resource";
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

interface Project {
  readonly project: ApiProject;
  readonly urns: readonly string[];
}

export function projectType(session: () => Session): ResourceType {
  return defineResource<Project>(session, {
    fields: projectFields,
    meta: projectMeta,
    state: ({ project, urns }) => projectState(project, urns),
    async create(inputs, work) {
      const what = `create project ${str(inputs, "name")}`;
      const { api, signal } = work;
      const body = projectBody(inputs, false);
      const project = await createOnce<ApiProject>(work, {
        what,
        request: body,
        idOf: ({ id }) => id,
        async find() {
          const all = await api.list<ApiProject>("look for projects", "v2/projects", "projects", { signal });
          return all.filter(({ name }) => name === body.name);
        },
        post: async () =>
          ((await api.post(what, "v2/projects", { signal, body, once: true })) as { project: ApiProject })
            .project,
        remove: "doctl projects delete",
      });
      try {
        await assign(project.id, strings(inputs, "resources") ?? [], work);
        if (inputs.isDefault === true) await put(project.id, inputs, work);
        return { id: project.id, found: (await find(project.id, work)) ?? { project, urns: [] } };
      } catch (error) {
        throw new HalfMade((error as Error).message, { id: project.id, found: { project, urns: [] } });
      }
    },
    async read(id, _known, work) {
      const found = await find(id, work);
      return found === undefined ? undefined : { id, found };
    },
    async update(id, olds, news, work) {
      await put(id, news, work);
      if (changed(projectFields, "resources", olds, news)) await reassign(id, olds, news, work);
      const found = await find(id, work);
      if (found === undefined) throw new ProviderError(`project ${id} is gone; run pulumi refresh`);
      return found;
    },
    async delete(id, olds, work) {
      await toDefault(id, strings(olds, "resources") ?? [], work);
      const what = `delete project ${id}`;
      await until(
        work.api,
        `${what} (waiting for its resources to leave)`,
        work.deadline(DELETE_MS),
        async () => {
          try {
            await work.api.delete(what, `v2/projects/${id}`, { signal: work.signal });
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
      const found = await find(id, work);
      return found === undefined ? undefined : { id, found: { id, urns: found.urns } };
    },
    async update(id, olds, news, work) {
      await reassign(id, olds, news, work);
      return { id, urns: strings(news, "resources") ?? [] };
    },
    async delete(id, olds, work) {
      await toDefault(id, strings(olds, "resources") ?? [], work);
    },
  });
}

async function find(id: string, { api, signal }: Work): Promise<Project | undefined> {
  const what = `read project ${id}`;
  const path = `v2/projects/${encodeURIComponent(id)}`;
  const answer = await api.find(what, path, { signal });
  if (answer === undefined) return undefined;
  const held = await api.list<{ urn: string }>(what, `${path}/resources`, "resources", { signal });
  return { project: (answer as { readonly project: ApiProject }).project, urns: held.map(({ urn }) => urn) };
}

async function put(id: string, inputs: Props, { api, signal }: Work): Promise<void> {
  await api.put(`update project ${id}`, `v2/projects/${id}`, { signal, body: projectBody(inputs, true) });
}

async function assign(id: string, urns: readonly string[], { api, signal }: Work): Promise<void> {
  if (urns.length === 0) return;
  const call = { signal, body: { resources: urns } };
  await api.post(
    `assign resources to project ${id}`,
    `v2/projects/${encodeURIComponent(id)}/resources`,
    call,
  );
}

/**
 * A resource is always in some project: what leaves this one goes to the default one. What the project does not hold
 * (any more) is left out: the API refuses all if one is gone, and a deleted droplet is.
 */
async function toDefault(id: string, gone: readonly string[], work: Work): Promise<void> {
  if (gone.length === 0) return;
  // Reserved IPs are listed under their older name.
  const listed = (urn: string): string => urn.replace(/^do:reservedip:/, "do:floatingip:");
  const held = ((await find(id, work))?.urns ?? []).map(listed);
  const urns = gone.filter((urn) => held.includes(listed(urn)));
  if (urns.length === 0) return;
  const answer = await work.api.get("find the default project", "v2/projects/default", {
    signal: work.signal,
  });
  await assign((answer as { readonly project: ApiProject }).project.id, urns, work);
}

async function reassign(id: string, olds: Props, news: Props, work: Work): Promise<void> {
  const { remove, add } = resourceChanges(strings(olds, "resources") ?? [], strings(news, "resources") ?? []);
  await toDefault(id, remove, work);
  await assign(id, add, work);
}
