/** The whole of a container that nothing is known about but what the engine says: for `import` and for adoption. Pure. */
import type { Props, Value } from "@berth/plugin-base";
import type { Fields } from "@berth/plugin-base/bridged";
import { labelList } from "../labels";
import { hasProcess, type Inspect } from "./inspect";
import { containerFields } from "./schema";
import { SYSTEM_PATHS } from "./spec";
import { containerState } from "./state";

/** What an image gives to each of its containers. */
export interface ImageConfig {
  readonly env: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * Outputs of a container that Pulumi has not seen before; what comes from its image or is the engine's default is
 * left out.
 *
 * @param defaultCgroupns the engine's `cgroupnsMode`: `host` on cgroup v1, `private` on v2.
 */
export function importState(inspect: Inspect, image: ImageConfig, defaultCgroupns: string): Props {
  const { HostConfig: host, Config: config } = inspect;
  const labels = Object.entries(config.Labels ?? {}).filter(([key, value]) => image.labels[key] !== value);
  // Named, each optional group is read from the engine.
  const asked: Props = {
    pidMode: host.PidMode ?? "",
    logOpts: host.LogConfig?.Config ?? {},
    ulimits: [{}],
    ports: [{}],
    deviceRequests: [{}],
    devices: (host.Devices ?? []).map((device): Props => {
      const entry: Props = { hostPath: device.PathOnHost, permissions: device.CgroupPermissions };
      if (device.PathInContainer !== device.PathOnHost) entry.containerPath = device.PathInContainer;
      return entry;
    }),
    mustRun: true,
  };
  const state = containerState(inspect, asked);
  return {
    ...state,
    ports: hasProcess(inspect) ? (state.ports ?? []) : [],
    envs: (config.Env ?? []).filter((entry) => !image.env.includes(entry)),
    labels: labelList(Object.fromEntries(labels)),
    securityOpts: [
      ...(Array.isArray(state.securityOpts) ? state.securityOpts : []),
      ...(host.MaskedPaths?.length === 0 && host.Privileged !== true ? [SYSTEM_PATHS] : []),
    ],
    networksAdvanced: networks(inspect),
    // No container of the program has any: that there are some is enough to tell them apart.
    volumes: [...(host.Binds ?? []), ...(host.VolumesFrom ?? [])].map((containerPath) => ({ containerPath })),
    cgroupParent: host.CgroupParent ?? "",
    cgroupnsMode: host.CgroupnsMode === defaultCgroupns ? "" : (host.CgroupnsMode ?? ""),
    cpuPeriod: host.CpuPeriod ?? 0,
    cpuQuota: host.CpuQuota ?? 0,
    mustRun: inspect.State.Running,
    ...settings(containerFields),
  };
}

/** The plugin's own settings, which no engine knows, at their defaults. */
function settings(fields: Fields): Props {
  const keys = ["start", "removeVolumes", "waitTimeout", "containerReadRefreshTimeoutMilliseconds"];
  return Object.fromEntries(keys.map((key) => [key, (fields[key]?.default ?? null) as Value]));
}

function networks(inspect: Inspect): Value[] {
  return Object.entries(inspect.NetworkSettings?.Networks ?? {})
    .filter(([name]) => !["bridge", "host", "none"].includes(name))
    .map(([name, endpoint]) => {
      const out: Props = { name };
      // The engine adds the container's short id and host name to the aliases.
      const own = [inspect.Id.slice(0, 12), inspect.Config.Hostname];
      const aliases = (endpoint.Aliases ?? []).filter((alias) => !own.includes(alias));
      if (aliases.length > 0) out.aliases = aliases;
      if (endpoint.IPAMConfig?.IPv4Address) out.ipv4Address = endpoint.IPAMConfig.IPv4Address;
      if (endpoint.IPAMConfig?.IPv6Address) out.ipv6Address = endpoint.IPAMConfig.IPv6Address;
      return out;
    });
}
