/** Stacks of real machines for the tests of the configuration, and what the loader says of them. */
import { ConfigError, type LoadOptions, loadConfig, type Plan } from "../../../config";

export const BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIJ+S1ZLn0dWllTuZ3lITcTnfLyQstcmEZMlktosn+KxF";
export const KEY = `ssh-ed25519 ${BLOB}`;

export const metal = (i: number, more: object = {}) => ({
  kind: "baremetal",
  name: `metal-${i}`,
  role: i === 0 ? "head" : "worker",
  address: `192.0.2.1${i}:10.0.0.1${i}`,
  hostKey: KEY,
  cpus: 16,
  memory: "64GiB",
  ...more,
});
export const droplet = (i: number, more: object = {}) => ({
  kind: "digitalocean",
  name: `drop-${i}`,
  role: i === 0 ? "head" : "worker",
  size: "s-2vcpu-4gb",
  cpus: 2,
  memory: "4GiB",
  ...more,
});
export const local = (name: string, role: string, address: string) => ({
  kind: "local",
  name,
  role,
  address,
  cpus: 2,
  memory: "8GiB",
});
export const firewall = { allowSsh: ["192.0.2.0/24"] };
export const digitalocean = { region: "fra1", allowSshFrom: ["192.0.2.0/24"] };
export const metalStack = { nodes: [metal(0), metal(1)], firewall };
export const dropletStack = { nodes: [droplet(0), droplet(1)], digitalocean };

export function load(config: Record<string, unknown>, options?: LoadOptions): Plan {
  const written = Object.entries(config).filter(([, value]) => value !== undefined);
  const raw = Object.fromEntries(written.map(([k, v]) => [`berth:${k}`, JSON.stringify(v)]));
  return loadConfig("prod", raw, () => [], options).plan;
}

export function problems(config: Record<string, unknown>, options?: LoadOptions) {
  try {
    load(config, options);
  } catch (error) {
    if (error instanceof ConfigError) return [...error.problems];
    throw error;
  }
  return [];
}

export const paths = (config: Record<string, unknown>, options?: LoadOptions) =>
  problems(config, options).map((p) => p.path.replace(/^berth:/, ""));
