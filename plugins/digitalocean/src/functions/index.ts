/** getRegions, getSizes and getImage: they only read. */
import { createHash } from "node:crypto";
import { type FunctionType, type Props, ProviderError } from "@berth/plugin-base";
import { int, text } from "@berth/plugin-base/bridged";
import type { Api } from "../api";
import {
  type ApiImage,
  type ApiRegion,
  type ApiSize,
  imageOf,
  regionKeys,
  regionOf,
  sizeKeys,
  sizeOf,
} from "./map";
import { applyQuery, checkQuery, type Keys, querySchema } from "./query";

const token = (name: string): string => `digitalocean:index/${name}:${name}`;

export function functionTypes(api: () => Api): Record<string, FunctionType> {
  return {
    [token("getRegions")]: listFunction<ApiRegion>(api, "regions", regionKeys, regionOf),
    [token("getSizes")]: listFunction<ApiSize>(api, "sizes", sizeKeys, sizeOf),
    [token("getImage")]: imageFunction(api),
  };
}

function listFunction<T>(
  api: () => Api,
  what: string,
  keys: Keys,
  recordOf: (found: T) => Props,
): FunctionType {
  return {
    inputs: querySchema(keys),
    async invoke({ values }, { signal }) {
      const failures = checkQuery(keys, values);
      if (failures.length > 0) return { failures };
      const found = await api().list<T>(`list ${what}`, `v2/${what}`, what, { signal });
      const records = applyQuery(keys, values, found.map(recordOf));
      const hash = createHash("sha256").update(JSON.stringify(found)).digest("hex").slice(0, 16);
      return { outs: { ...values, id: `${what}/${hash}`, [what]: records } };
    },
  };
}

/** What `source` means in the list of images. */
const SOURCES: Readonly<Record<string, Record<string, string>>> = {
  all: {},
  applications: { type: "application" },
  distributions: { type: "distribution" },
  user: { private: "true" },
};

function imageFunction(api: () => Api): FunctionType {
  return {
    inputs: {
      id: { type: "integer", min: 1 },
      name: { type: "string", public: true },
      slug: { type: "string", public: true },
      source: { type: "string", public: true, enum: Object.keys(SOURCES) },
    },
    async invoke({ values }, { signal }) {
      const [id, slug, name, source] = [
        int(values, "id"),
        text(values, "slug"),
        text(values, "name"),
        text(values, "source"),
      ];
      if ([id, slug, name].filter((value) => value !== undefined).length !== 1) {
        return { failures: [{ property: "", reason: "give exactly one of id, slug and name" }] };
      }
      if (source !== undefined && name === undefined) {
        return { failures: [{ property: "source", reason: "goes with name alone; leave it out" }] };
      }
      const image =
        name === undefined
          ? await byKey(api(), String(id ?? slug), signal)
          : await byName(api(), name, source ?? "user", signal);
      return { outs: { ...imageOf(image), source: source ?? "user" } };
    },
  };
}

async function byKey(api: Api, key: string, signal: AbortSignal): Promise<ApiImage> {
  const answer = await api.find(`find image ${key}`, `v2/images/${encodeURIComponent(key)}`, { signal });
  if (answer === undefined)
    throw new ProviderError(`there is no image ${key}; doctl compute image list --public lists them`);
  return (answer as { readonly image: ApiImage }).image;
}

async function byName(api: Api, name: string, source: string, signal: AbortSignal): Promise<ApiImage> {
  const query = SOURCES[source];
  const all = await api.list<ApiImage>(`find image ${name}`, "v2/images", "images", { signal, query });
  const [image, ...others] = all.filter((candidate) => candidate.name === name);
  if (image === undefined) throw new ProviderError(`no image of the source "${source}" is named ${name}`);
  if (others.length > 0) {
    const ids = [image, ...others].map((found) => found.id).join(", ");
    throw new ProviderError(`${others.length + 1} images are named ${name}: ${ids}; give one's id instead`);
  }
  return image;
}
