/** The small program of the docker plugin's engine test. */

export interface Edit {
  /** More properties of the container, as program text. */
  readonly web?: string;
  readonly label?: string;
  readonly more?: string;
}

/** What the test decides: the prefix of every name, the image, a folder to bind, a text that must never show. */
export interface Setting {
  readonly prefix: string;
  readonly image: string;
  readonly work: string;
  readonly secret: string;
}

/** A network, a volume, an image, and a container on them with all that Berth's own containers have. */
export function programText(
  { prefix, image, work, secret }: Setting,
  { web = "", label = "one", more = "" }: Edit,
  host: string,
  sshOpts: readonly string[],
): string {
  return `
const docker = require("@pulumi/docker");
const provider = new docker.Provider("engine", { host: ${JSON.stringify(host)}, sshOpts: ${JSON.stringify(sshOpts)} });
const labels = [{ label: "berth.stack", value: "test" }, { label: "berth.owner", value: "${label}" }];
const network = new docker.Network("net", {
  name: "${prefix}-net", labels, ipamConfigs: [{ subnet: "10.97.31.0/24", gateway: "10.97.31.1" }],
}, { provider });
const volume = new docker.Volume("vol", { name: "${prefix}-vol", labels }, { provider });
const image = new docker.RemoteImage("image", { name: "${image}", keepLocally: true }, { provider });
const web = new docker.Container("web", {
  name: "${prefix}-web", image: image.imageId, labels, hostname: "web", restart: "unless-stopped",
  envs: ["A=1", pulumi.secret("PASSWORD=${secret}")],
  networksAdvanced: [{ name: network.name, ipv4Address: "10.97.31.10" }],
  ports: [{ internal: 80, ip: "127.0.0.1" }],
  mounts: [
    { type: "volume", source: volume.name, target: "/data" },
    { type: "bind", source: "${work}", target: "/host", readOnly: true },
    { type: "tmpfs", target: "/scratch" },
  ],
  tmpfs: { "/run": "rw,size=1m" },
  uploads: [{ file: "/etc/berth/key", content: pulumi.secret("${secret}"), permissions: "0600" }],
  healthcheck: { tests: ["CMD", "cat", "/etc/berth/key"], interval: "1s", timeout: "5s", retries: 3 },
  memory: 64, memorySwap: 64, shmSize: 64,
  capabilities: { drops: ["ALL"] }, securityOpts: ["no-new-privileges"],
  logDriver: "json-file", logOpts: { "max-size": "1m" }, ipcMode: "private", destroyGraceSeconds: 2,
  ${web}
}, { provider });
exports.id = web.id;
exports.ports = web.ports;
exports.address = web.networkDatas.apply((all) => all[0].ipAddress);
${more}
`;
}
