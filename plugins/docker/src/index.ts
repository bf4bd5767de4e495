/** Berth's own `docker` plugin: the official one's containers, networks, volumes and images, over dockerode. */
export { dockerProvider, engineConfig, version } from "./provider";
