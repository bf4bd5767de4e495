/** The parts of the Engine API that berthd reads; field names as the API has them. */

export interface Summary {
  Id: string;
  Names?: string[] | null;
  Labels?: Record<string, string> | null;
  /** `running`, `exited`… */
  State?: string;
  /** For people: `Up 3 hours (healthy)`; it is the only place of a list that shows the health. */
  Status?: string;
  /** Seconds since the epoch. */
  Created?: number;
}

/** By `80/tcp`. */
export type PortMap = Record<string, { HostIp?: string; HostPort?: string }[] | null>;

export interface DeviceRequest {
  Driver?: string;
  Count?: number;
  DeviceIDs?: string[] | null;
  Capabilities?: string[][] | null;
  Options?: Record<string, string> | null;
}

export interface Inspect {
  Id: string;
  /** With a leading `/`. */
  Name: string;
  /** RFC 3339, with nanoseconds. */
  Created: string;
  State: {
    /** `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`. */
    Status: string;
    Running: boolean;
    Paused?: boolean;
    Restarting?: boolean;
    Dead?: boolean;
    Pid: number;
    ExitCode: number;
    Error?: string;
    StartedAt?: string;
    FinishedAt?: string;
    Health?: { Status?: string } | null;
  };
  Config: {
    Image?: string;
    Env?: string[] | null;
    Labels?: Record<string, string> | null;
    StopTimeout?: number | null;
  } | null;
  HostConfig: {
    Runtime?: string;
    Privileged?: boolean;
    /** Bytes; 0: no limit. */
    Memory?: number;
    /** Billionths of a CPU; 0: no limit. */
    NanoCpus?: number;
    DeviceRequests?: DeviceRequest[] | null;
    Devices?: { PathOnHost: string; PathInContainer: string; CgroupPermissions: string }[] | null;
    /** Docker 24 and newer. */
    Annotations?: Record<string, string> | null;
    AutoRemove?: boolean;
    RestartPolicy?: { Name?: string } | null;
    PortBindings?: PortMap | null;
  };
  NetworkSettings?: { Ports?: PortMap | null } | null;
}
