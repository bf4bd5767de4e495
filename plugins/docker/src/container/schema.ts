/**
 * The properties of `docker:index/container:Container` in version 5.2.0 of the official plugin: types, defaults, and
 * what replaces the container. Source of the facts: that version's package schema, and the schema of
 * terraform-provider-docker 4.5.0, which it wraps. Sizes are in MiB unless said otherwise.
 *
 * Three properties differ on purpose: official 5.2.0 calls a change of `healthcheck`, `tmpfs` and `init` an
 * update but cannot make it (the engine has no way to), so that the state then says what is not so. Here
 * they replace the container. So do an edit inside an entry of `mounts`, taking a limit away, and a limit that somebody set and
 * Berth does not (`cpuShares`…), for the same reason.
 *
 * Some values look new to the official plugin for ever, or after a refresh, and are no change here. A program for
 * both avoids them: `memory` without `memorySwap`; whole `cpus` not written `2.0`; a duration not as Go prints it
 * (`90s` for `1m30s`); capabilities without `CAP_` on newer engines; `systempaths=unconfined` in `securityOpts`.
 */

import {
  boolean,
  type Field,
  type Fields,
  integer,
  list,
  object,
  set,
  string,
  stringMap,
} from "@berth/plugin-base/bridged";
import { labels } from "../labels";
import { unused } from "../unused";
import { sameDuration } from "./duration";

const replace = true;
const computed = true;
const DURATION = /^(([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+|0)$/;
const duration = (): Field => string({ default: "0s", pattern: DURATION, same: sameDuration });
/** `2` and `2.0`. */
const sameNumber = (a: string, b: string): boolean => Number(a) === Number(b);
/** `CHOWN` and `CAP_CHOWN`. */
const sameCapability = (a: string, b: string): boolean => capability(a) === capability(b);
const capability = (name: string): string => name.toUpperCase().replace(/^CAP_/, "");
const rates = (): Field => unused(set(object({ path: string(), rate: integer() }), { replace }));

export const containerFields: Fields = {
  name: string({ replace }),
  image: string({ required: true, replace }),
  command: list(string(), { replace, computed }),
  entrypoints: list(string(), { replace, computed }),
  envs: set(string(), { replace, computed }),
  labels: labels({ replace, computed }),
  hostname: string({ replace, computed }),
  domainname: unused(string({ replace })),
  user: string({ replace, computed, emptyIsAbsent: true }),
  workingDir: string({ replace, computed, emptyIsAbsent: true }),
  platform: unused(string({ replace, computed })),
  tty: boolean({ replace }),
  stdinOpen: unused(boolean({ replace })),
  stopSignal: string({ replace, computed }),
  stopTimeout: integer({ replace, computed, min: 0 }),

  // How the plugin treats the container.
  mustRun: boolean({ default: true }),
  start: unused(boolean({ default: true })),
  attach: unused(boolean()),
  logs: unused(boolean()),
  wait: unused(boolean()),
  /** Seconds. */
  waitTimeout: unused(integer({ default: 60, min: 0 })),
  destroyGraceSeconds: integer({ min: 0 }),
  removeVolumes: unused(boolean({ default: true })),
  containerReadRefreshTimeoutMilliseconds: unused(integer({ default: 15000, min: 0 })),
  rm: unused(boolean({ replace })),
  restart: string({ default: "no", enum: ["no", "on-failure", "always", "unless-stopped"] }),
  maxRetryCount: unused(integer({ min: 0 })),

  // Storage.
  mounts: set(
    object({
      target: string({ required: true }),
      source: string(),
      type: string({ required: true, enum: ["bind", "volume", "tmpfs"] }),
      readOnly: boolean(),
      bindOptions: unused(object({ propagation: string() })),
      volumeOptions: unused(
        object({
          noCopy: boolean(),
          labels: labels(),
          driverName: string(),
          driverOptions: stringMap(),
          subpath: string(),
        }),
      ),
      /** Bytes, and permission bits as a decimal number. */
      tmpfsOptions: unused(object({ sizeBytes: integer({ min: 0 }), mode: integer({ min: 0 }) })),
    }),
    { replace },
  ),
  volumes: unused(set(object({ containerPath: string() }), { replace })),
  tmpfs: stringMap({ replace }),
  readOnly: unused(boolean({ replace })),
  storageOpts: unused(stringMap({ replace })),
  uploads: set(
    object({
      file: string({ required: true }),
      content: string({ required: true }),
      contentBase64: unused(string()),
      source: unused(string()),
      sourceHash: unused(string()),
      executable: unused(boolean()),
      permissions: string({ pattern: /^0[0-7]{3}$/ }),
    }),
    { replace },
  ),

  // Network.
  networkMode: string({ replace, default: "bridge" }),
  networksAdvanced: set(
    object({
      name: string({ required: true }),
      aliases: unused(set(string())),
      ipv4Address: string(),
      ipv6Address: unused(string()),
      linkLocalIps: unused(set(string())),
      macAddress: unused(string()),
      driverOpts: unused(set(string({ pattern: /=/ }))),
      gwPriority: unused(integer({ min: 0 })),
    }),
    { replace },
  ),
  ports: set(
    object({
      internal: integer({ required: true, min: 1, max: 65535 }),
      external: integer({ computed, min: 0, max: 65535 }),
      ip: string({ default: "0.0.0.0" }),
      protocol: string({ default: "tcp", enum: ["tcp", "udp", "sctp"] }),
    }),
    { replace },
  ),
  publishAllPorts: unused(boolean({ replace })),
  hosts: unused(
    set(object({ host: string({ required: true }), ip: string({ required: true }) }), { replace }),
  ),
  dns: unused(set(string(), { replace })),
  dnsOpts: unused(set(string(), { replace })),
  dnsSearches: unused(set(string(), { replace })),

  // Privileges and namespaces.
  privileged: boolean({ replace }),
  capabilities: object(
    { adds: set(string({ same: sameCapability })), drops: set(string({ same: sameCapability })) },
    { replace },
  ),
  securityOpts: set(string(), { replace, computed }),
  sysctls: unused(stringMap({ replace })),
  groupAdds: unused(set(string(), { replace })),
  pidMode: unused(string({ replace })),
  ipcMode: string({ replace, computed }),
  usernsMode: unused(string({ replace })),
  cgroupnsMode: string({ replace, enum: ["private", "host"] }),
  cgroupParent: string({ replace }),
  runtime: unused(string({ replace, computed })),
  init: boolean({ replace, computed }),

  // Devices.
  devices: set(
    object({
      hostPath: string({ required: true }),
      containerPath: string(),
      permissions: string({ default: "rwm" }),
    }),
    { replace },
  ),
  deviceRequests: set(
    object({
      driver: string({ default: "cdi" }),
      count: unused(integer()),
      deviceIds: set(string()),
      capabilities: unused(set(string())),
      options: unused(stringMap()),
    }),
    { replace },
  ),
  gpus: unused(string({ replace })),
  deviceReadBps: rates(),
  deviceReadIops: rates(),
  deviceWriteBps: rates(),
  deviceWriteIops: rates(),

  // Limits.
  memory: integer({ min: 0 }),
  memoryReservation: integer({ min: 0 }),
  memorySwap: integer({ min: -1 }),
  shmSize: integer({ replace, computed, min: 0 }),
  cpus: string({ replace, pattern: /^[0-9]+(\.[0-9]+)?$/, same: sameNumber }),
  cpuShares: unused(integer({ min: 0, replace })),
  cpuSet: unused(string({ replace, pattern: /^\d+([,-]\d+)*$/ })),
  cpuPeriod: unused(integer({ min: 0, replace })),
  cpuQuota: unused(integer({ min: 0, replace })),
  ulimits: unused(set(object({ name: string(), soft: integer(), hard: integer() }), { replace })),

  // Health and logs.
  healthcheck: object(
    {
      tests: list(string()),
      interval: duration(),
      timeout: duration(),
      startPeriod: duration(),
      startInterval: unused(duration()),
      retries: integer({ min: 0 }),
    },
    { replace, computed },
  ),
  logDriver: string({ replace, computed }),
  /** The engine adds its own log-opts where the driver is its default one. */
  logOpts: stringMap({ replace, completed: true }),

  // Outputs.
  bridge: string({ output: true }),
  containerLogs: string({ output: true }),
  exitCode: integer({ output: true }),
  networkDatas: list(object({}), { output: true }),
};

/**
 * The Pulumi-Terraform bridge keeps this in each resource's outputs: the timeouts in nanoseconds (20 min
 * each) and the version of the state's shape. The key is the bridge's constant for "timeouts".
 */
export const containerMeta =
  '{"e2bfb730-ecaa-11e6-8f88-34363bc7c4c0":{"create":1200000000000,"delete":1200000000000,"update":1200000000000},"schema_version":"2"}';
