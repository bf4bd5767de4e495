/** getRegions, getSizes and getImage, with the arguments that Berth gives: they only read. */
import { createHash } from "node:crypto";
import { type FunctionType, type Property, type Props, ProviderError } from "@berth/plugin-base";
import { str } from "@berth/plugin-base/bridged";
import type { Api } from "../api";
import { type ApiImage, type ApiRegion, type ApiSize, imageOf, regionOf, sizeOf } from "./map";

const token = (name: string): string => `digitalocean:index/${name}:${name}`;

export function functionTypes(api: () => Api): Record<string, FunctionType> {
  return {
    [token("getRegions")]: listFunction<ApiRegion>(api, "regions", regionOf),
    [token("getSizes")]: listFunction<ApiSize>(api, "sizes", sizeOf),
    [token("getImage")]: imageFunction(api),
  };
}

const whole: Property = {
  type: "array",
  unsupported: "the whole list is given; filter and sort it in the program, or install the official plugin",
};

function listFunction<T>(api: () => Api, what: string, recordOf: (found: T) => Props): FunctionType {
  return {
    inputs: { filters: whole, sorts: whole },
    async invoke({ values }, { signal }) {
      const found = await api().list<T>(`list ${what}`, `v2/${what}`, what, { signal });
      const hash = createHash("sha256").update(JSON.stringify(found)).digest("hex").slice(0, 16);
      return { outs: { ...values, id: `${what}/${hash}`, [what]: found.map(recordOf) } };
    },
  };
}

function imageFunction(api: () => Api): FunctionType {
  const unsupported = "images are found by their slug; give slug, or install the official plugin";
  return {
    inputs: {
      // What is asked for is quoted in errors, where what is not public would be masked.
      slug: { type: "string", public: true, required: true },
      id: { type: "integer", unsupported },
      name: { type: "string", public: true, unsupported },
      source: { type: "string", public: true, unsupported },
    },
    async invoke({ values }, { signal }) {
      const slug = str(values, "slug") ?? "";
      const path = `v2/images/${encodeURIComponent(slug)}`;
      const answer = await api().find(`find image ${slug}`, path, { signal });
      if (answer === undefined)
        throw new ProviderError(`there is no image ${slug}; doctl compute image list --public lists them`);
      return { outs: { ...imageOf((answer as { readonly image: ApiImage }).image), source: "user" } };
    },
  };
}
