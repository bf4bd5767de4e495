/** Regions, sizes and images: from the API's answers to results. Pure. */
import type { Props } from "@berth/plugin-base";

export interface ApiRegion {
  readonly slug: string;
  readonly available?: boolean;
}

export const regionOf = ({ slug, available = false }: ApiRegion): Props => ({ slug, available });

export interface ApiSize extends ApiRegion {
  readonly regions?: readonly string[] | null;
}

export const sizeOf = ({ slug, available = false, regions }: ApiSize): Props => ({
  slug,
  available,
  regions: [...(regions ?? [])],
});

export interface ApiImage {
  readonly id: number;
  readonly slug?: string | null;
  readonly regions?: readonly string[] | null;
}

export const imageOf = ({ id, slug, regions }: ApiImage): Props => ({
  id,
  image: String(id),
  slug: slug ?? "",
  regions: [...(regions ?? [])],
});
