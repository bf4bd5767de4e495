/**
 * What the account may choose from: a few of the public regions, sizes and images, under their real slugs.
 * Prices are near the published ones and not meant to be read.
 */
export interface SizeInfo {
  readonly slug: string;
  /** MiB. */
  readonly memory: number;
  readonly vcpus: number;
  /** GiB. */
  readonly disk: number;
  readonly monthly: number;
  readonly description: string;
  readonly gpu?: { readonly count: number; readonly model: string; readonly vramGib: number };
}

export interface ImageInfo {
  id: number;
  name: string;
  readonly distribution: string;
  readonly slug: string | null;
  readonly type: "base" | "snapshot";
  readonly minDisk: number;
  readonly createdAt: string;
  readonly regions: string[];
  /** The droplet that a snapshot was taken of. */
  readonly from?: number;
  readonly sizeGigabytes: number;
  readonly tags: Set<string>;
}

export const regions: ReadonlyMap<string, string> = new Map([
  ["nyc1", "New York 1"],
  ["nyc2", "New York 2"],
  ["nyc3", "New York 3"],
  ["sfo3", "San Francisco 3"],
  ["ams3", "Amsterdam 3"],
  ["fra1", "Frankfurt 1"],
  ["lon1", "London 1"],
  ["sgp1", "Singapore 1"],
  ["tor1", "Toronto 1"],
  ["blr1", "Bangalore 1"],
  ["syd1", "Sydney 1"],
]);

export const regionFeatures = ["backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"];

const basic = (slug: string, memory: number, vcpus: number, disk: number, monthly: number): SizeInfo => ({
  slug,
  memory,
  vcpus,
  disk,
  monthly,
  description: "Basic",
});

export const sizes: readonly SizeInfo[] = [
  basic("s-1vcpu-1gb", 1024, 1, 25, 6),
  basic("s-1vcpu-2gb", 2048, 1, 50, 12),
  basic("s-2vcpu-2gb", 2048, 2, 60, 18),
  basic("s-2vcpu-4gb", 4096, 2, 80, 24),
  basic("s-4vcpu-8gb", 8192, 4, 160, 48),
  basic("s-8vcpu-16gb", 16384, 8, 320, 96),
  { slug: "g-2vcpu-8gb", memory: 8192, vcpus: 2, disk: 25, monthly: 63, description: "General Purpose" },
  {
    slug: "gpu-h100x1-80gb",
    memory: 245_760,
    vcpus: 20,
    disk: 720,
    monthly: 2522,
    description: "H100 GPU - 1X",
    gpu: { count: 1, model: "nvidia_h100", vramGib: 80 },
  },
  {
    slug: "gpu-h100x8-640gb",
    memory: 1_966_080,
    vcpus: 160,
    disk: 2046,
    monthly: 17_796,
    description: "H100 GPU - 8X",
    gpu: { count: 8, model: "nvidia_h100", vramGib: 640 },
  },
];

const gpuRegions = ["nyc2", "tor1", "ams3"];

/** Slugs of the regions that offer the size. */
export const regionsOf = (size: SizeInfo): string[] =>
  size.gpu === undefined ? [...regions.keys()].filter((slug) => slug !== "nyc2") : gpuRegions;

export const sizesIn = (region: string): string[] =>
  sizes.filter((size) => regionsOf(size).includes(region)).map(({ slug }) => slug);

const base = (id: number, distribution: string, name: string, slug: string, minDisk = 7): ImageInfo => ({
  id,
  name,
  distribution,
  slug,
  type: "base",
  minDisk,
  createdAt: "2026-01-15T10:00:00Z",
  regions: [...regions.keys()],
  sizeGigabytes: 0.7,
  tags: new Set(),
});

export const publicImages = (): ImageInfo[] => [
  base(149_000_001, "Debian", "13 x64", "debian-13-x64"),
  base(149_000_002, "Debian", "12 x64", "debian-12-x64"),
  base(149_000_003, "Ubuntu", "24.04 (LTS) x64", "ubuntu-24-04-x64"),
  base(149_000_004, "Ubuntu", "22.04 (LTS) x64", "ubuntu-22-04-x64"),
  base(149_000_005, "Ubuntu", "AI/ML Ready v1.0", "gpu-h100x1-base", 100),
  base(149_000_006, "Ubuntu", "NVIDIA AI/ML Ready with NVLINK v1.0", "gpu-h100x8-base", 100),
];
