/** The part of `GET /containers/ID/json` that the plugin reads; field names as the Engine API has them. */

export interface Inspect {
  Id: string;
  /** With a leading `/`. */
  Name: string;
  /** Image id. */
  Image: string;
  Platform?: string;
  State: {
    Status: string;
    /** True also between two tries of a restart policy, and while it is paused. */
    Running: boolean;
    Restarting?: boolean;
    Paused?: boolean;
    ExitCode: number;
    /** What kept it from starting. */
    Error?: string;
    StartedAt?: string;
    Health?: { Status: string; Log?: { ExitCode: number; Output: string }[] | null } | null;
  };
  Config: {
    Image: string;
    Hostname?: string;
    Domainname?: string;
    User?: string;
    WorkingDir?: string;
    Env?: string[] | null;
    Cmd?: string[] | null;
    Entrypoint?: string[] | null;
    Labels?: Record<string, string> | null;
    Tty?: boolean;
    OpenStdin?: boolean;
    StopSignal?: string;
    StopTimeout?: number | null;
    /** Durations in nanoseconds. */
    Healthcheck?: {
      Test?: string[] | null;
      Interval?: number;
      Timeout?: number;
      StartPeriod?: number;
      StartInterval?: number;
      Retries?: number;
    } | null;
  };
  HostConfig: {
    AutoRemove?: boolean;
    Binds?: string[] | null;
    BlkioDeviceReadBps?: Rate[] | null;
    BlkioDeviceReadIOps?: Rate[] | null;
    BlkioDeviceWriteBps?: Rate[] | null;
    BlkioDeviceWriteIOps?: Rate[] | null;
    CapAdd?: string[] | null;
    CapDrop?: string[] | null;
    CgroupParent?: string;
    CgroupnsMode?: string;
    CpuPeriod?: number;
    CpuQuota?: number;
    CpuShares?: number;
    CpusetCpus?: string;
    DeviceRequests?: DeviceRequest[] | null;
    Devices?: { PathOnHost: string; PathInContainer: string; CgroupPermissions: string }[] | null;
    Dns?: string[] | null;
    DnsOptions?: string[] | null;
    DnsSearch?: string[] | null;
    ExtraHosts?: string[] | null;
    GroupAdd?: string[] | null;
    Init?: boolean | null;
    IpcMode?: string;
    LogConfig?: { Type: string; Config?: Record<string, string> | null };
    MaskedPaths?: string[] | null;
    /** Bytes, as the other sizes. */
    Memory?: number;
    MemoryReservation?: number;
    MemorySwap?: number;
    Mounts?: Mount[] | null;
    NanoCpus?: number;
    NetworkMode?: string;
    PidMode?: string;
    PortBindings?: Record<string, PortBinding[] | null> | null;
    Privileged?: boolean;
    PublishAllPorts?: boolean;
    ReadonlyRootfs?: boolean;
    RestartPolicy?: { Name: string; MaximumRetryCount: number };
    Runtime?: string;
    SecurityOpt?: string[] | null;
    ShmSize?: number;
    StorageOpt?: Record<string, string> | null;
    Sysctls?: Record<string, string> | null;
    Tmpfs?: Record<string, string> | null;
    Ulimits?: { Name: string; Soft: number; Hard: number }[] | null;
    UsernsMode?: string;
    VolumesFrom?: string[] | null;
  };
  NetworkSettings?: {
    Bridge?: string;
    Ports?: Record<string, PortBinding[] | null> | null;
    Networks?: Record<string, Endpoint> | null;
  } | null;
}

export interface Rate {
  Path: string;
  Rate: number;
}

export interface PortBinding {
  HostIp: string;
  HostPort: string;
}

export interface DeviceRequest {
  Driver?: string;
  Count?: number;
  DeviceIDs?: string[] | null;
  Capabilities?: string[][] | null;
  Options?: Record<string, string> | null;
}

export interface Mount {
  Type: string;
  Source?: string;
  Target: string;
  ReadOnly?: boolean;
  BindOptions?: { Propagation?: string } | null;
  VolumeOptions?: {
    NoCopy?: boolean;
    Labels?: Record<string, string> | null;
    DriverConfig?: { Name?: string; Options?: Record<string, string> | null } | null;
    Subpath?: string;
  } | null;
  TmpfsOptions?: { SizeBytes?: number; Mode?: number } | null;
}

export interface Endpoint {
  NetworkID?: string;
  Aliases?: string[] | null;
  IPAMConfig?: { IPv4Address?: string; IPv6Address?: string; LinkLocalIPs?: string[] | null } | null;
  IPAddress?: string;
  IPPrefixLen?: number;
  Gateway?: string;
  GlobalIPv6Address?: string;
  GlobalIPv6PrefixLen?: number;
  IPv6Gateway?: string;
  MacAddress?: string;
  DriverOpts?: Record<string, string> | null;
  GwPriority?: number;
}

/** It has a process, and so its addresses and ports; one that waits for its restart policy's next try has none. */
export function hasProcess({ State: state }: Inspect): boolean {
  return state.Running && state.Restarting !== true;
}

/** Its processes run: it neither ended, nor waits for the next try of its restart policy, nor is frozen. */
export function runs(inspect: Inspect): boolean {
  return hasProcess(inspect) && inspect.State.Paused !== true;
}
