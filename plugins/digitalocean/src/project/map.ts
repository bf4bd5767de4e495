/** Projects: properties and their place in the API. Pure. */
import type { Props } from "@berth/plugin-base";
import { type Fields, set, str, string, text } from "@berth/plugin-base/bridged";
import { SOME } from "../resource";

const sameWord = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

/** `digitalocean:index/project:Project`. */
export const projectFields: Fields = {
  name: string({ computed: true, pattern: /^[\s\S]{1,175}$/u }),
  purpose: string({ default: "Web Application", pattern: /^[\s\S]{0,255}$/u }),
  environment: string({ pattern: /^(development|staging|production)$/i, same: sameWord }),
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
  readonly purpose?: string;
  readonly environment?: string;
}

export function projectBody(inputs: Props): Record<string, unknown> {
  return {
    name: str(inputs, "name"),
    purpose: str(inputs, "purpose") ?? "Web Application",
    environment: text(inputs, "environment"),
  };
}

export function projectState(project: ApiProject): Props {
  return {
    name: project.name,
    // What is none of the API's own purposes comes back so.
    purpose: (project.purpose ?? "").replace(/^Other: /, ""),
    environment: project.environment ?? "",
  };
}

/** What left and what joined. */
export function resourceChanges(olds: readonly string[], news: readonly string[]) {
  return {
    remove: olds.filter((urn) => !news.includes(urn)),
    add: news.filter((urn) => urn !== "" && !olds.includes(urn)),
  };
}
