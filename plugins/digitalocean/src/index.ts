/** Berth's own `digitalocean` plugin: the official one's droplets, volumes, networks and names, over the public API. */
export { digitaloceanProvider, version } from "./provider";
