/** Projects: properties and their place in the API. Pure. */
import type { Props } from "@berth/plugin-base";
import { boolean, type Fields, integer, set, str, string } from "@berth/plugin-base/bridged";
import { SOME, UP_TO_255 } from "../resource";

const sameWord = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

/** `digitalocean:index/project:Project`. */
export const projectFields: Fields = {
  name: string({ computed: true, pattern: /^[\s\S]{1,175}$/u }),
  description: string({ pattern: UP_TO_255 }),
  purpose: string({ default: "Web Application", pattern: UP_TO_255 }),
  environment: string({ pattern: /^(development|staging|production)$/i, same: sameWord }),
  isDefault: boolean(),
  resources: set(string(), { computed: true }),
  ownerUuid: string({ output: true }),
  ownerId: integer({ output: true }),
  createdAt: string({ output: true }),
  updatedAt: string({ output: true }),
};

/** `digitalocean:index/projectResources:ProjectResources`. */
export const projectResourcesFields: Fields = {
  project: string({ required: true, replace: true, pattern: SOME }),
  resources: set(string(), { required: true }),
};

/** The bridge's note of the official plugin's time-outs, in nanoseconds. */
export const projectMeta = '{"e2bfb730-ecaa-11e6-8f88-34363bc7c4c0":{"delete":180000000000}}';

export interface ApiProject {
  readonly id: string;
  readonly name: string;
  readonly description?: string;
  readonly purpose?: string;
  readonly environment?: string;
  readonly is_default?: boolean;
  readonly owner_uuid?: string;
  readonly owner_id?: number;
  readonly created_at?: string;
  readonly updated_at?: string;
}

/** @param whole every field, as an update wants them. */
export function projectBody(inputs: Props, whole: boolean): Record<string, unknown> {
  const some = (key: string): string | undefined =>
    whole ? (str(inputs, key) ?? "") : str(inputs, key) || undefined;
  const body = {
    name: str(inputs, "name"),
    purpose: str(inputs, "purpose") ?? "Web Application",
    description: some("description"),
    environment: some("environment"),
  };
  return whole ? { ...body, is_default: inputs.isDefault === true } : body;
}

export function projectState(project: ApiProject, urns: readonly string[]): Props {
  return {
    name: project.name,
    // What is none of the API's own purposes comes back so.
    purpose: (project.purpose ?? "").replace(/^Other: /, ""),
    description: project.description ?? "",
    environment: project.environment ?? "",
    isDefault: project.is_default ?? false,
    ownerUuid: project.owner_uuid ?? "",
    ownerId: project.owner_id ?? 0,
    createdAt: project.created_at ?? "",
    updatedAt: project.updated_at ?? "",
    resources: [...urns],
  };
}

/** What left and what joined. */
export function resourceChanges(olds: readonly string[], news: readonly string[]) {
  return {
    remove: olds.filter((urn) => !news.includes(urn)),
    add: news.filter((urn) => urn !== "" && !olds.includes(urn)),
  };
}
