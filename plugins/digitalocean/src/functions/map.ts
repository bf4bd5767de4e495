/** Regions, sizes and images: from the API's answers to results. Pure. */
import type { Props } from "@berth/plugin-base";

export interface ApiRegion {
  readonly slug: string;
  readonly name: string;
  readonly available?: boolean;
  readonly sizes?: readonly string[] | null;
  readonly features?: readonly string[] | null;
}

export function regionOf(region: ApiRegion): Props {
  return {
    slug: region.slug,
    name: region.name,
    available: region.available ?? false,
    sizes: [...(region.sizes ?? [])],
    features: [...(region.features ?? [])],
  };
}

export interface ApiSize {
  readonly slug: string;
  readonly available?: boolean;
  readonly transfer?: number;
  readonly price_monthly?: number;
  readonly price_hourly?: number;
  readonly memory?: number;
  readonly vcpus?: number;
  readonly disk?: number;
  readonly regions?: readonly string[] | null;
  readonly gpu_info?: {
    readonly count?: number;
    readonly model?: string;
    readonly vram?: { readonly amount?: number; readonly unit?: string } | null;
    readonly supported_partition_modes?: readonly string[] | null;
  } | null;
}

export function sizeOf(size: ApiSize): Props {
  const gpu = size.gpu_info ?? undefined;
  const vram = gpu?.vram ?? undefined;
  return {
    slug: size.slug,
    available: size.available ?? false,
    transfer: size.transfer ?? 0,
    priceMonthly: size.price_monthly ?? 0,
    priceHourly: size.price_hourly ?? 0,
    memory: size.memory ?? 0,
    vcpus: size.vcpus ?? 0,
    disk: size.disk ?? 0,
    regions: [...(size.regions ?? [])],
    gpuInfos:
      gpu === undefined
        ? []
        : [
            {
              count: gpu.count ?? 0,
              model: gpu.model ?? "",
              vrams: vram === undefined ? [] : [{ amount: vram.amount ?? 0, unit: vram.unit ?? "" }],
              supportedPartitionModes: [...(gpu.supported_partition_modes ?? [])],
            },
          ],
  };
}

export interface ApiImage {
  readonly id: number;
  readonly name?: string | null;
  readonly type?: string;
  readonly distribution?: string;
  readonly slug?: string | null;
  readonly public?: boolean;
  readonly min_disk_size?: number | null;
  readonly size_gigabytes?: number | null;
  readonly created_at?: string;
  readonly regions?: readonly string[] | null;
  readonly tags?: readonly string[] | null;
  readonly status?: string;
  readonly error_message?: string;
  readonly description?: string | null;
}

export function imageOf(image: ApiImage): Props {
  return {
    id: image.id,
    image: String(image.id),
    name: image.name ?? "",
    type: image.type ?? "",
    distribution: image.distribution ?? "",
    slug: image.slug ?? "",
    private: image.public !== true,
    minDiskSize: image.min_disk_size ?? 0,
    sizeGigabytes: image.size_gigabytes ?? 0,
    created: image.created_at ?? "",
    regions: [...(image.regions ?? [])],
    tags: [...(image.tags ?? [])],
    status: image.status ?? "",
    errorMessage: image.error_message ?? "",
    description: image.description ?? "",
  };
}
