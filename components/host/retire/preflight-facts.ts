/** What the preflight tells about a server, as typed, whitelisted data. Pure. */
import { number, parseFacts, text, texts } from "../stage";

export interface PreflightFacts {
  /** Who signed in, and whether that is root or a user with sudo. */
  login: string;
  sudo: boolean;
  /** Accounts of people: uid 1000 to 59999. */
  users: { name: string; uid: number; home: string }[];
  disks: PreflightDisk[];
  /** Real file systems. */
  mounts: { source: string; target: string; filesystem: string; bytes: number; freeBytes: number }[];
  /** Undefined where there is no engine. */
  docker?: {
    version: string;
    /** Debian package of dockerd; empty where none owns it. */
    package: string;
    running: number;
    containers: number;
    daemonJson: boolean;
    liveRestore: boolean;
    cgroupDriver: string;
    dataRoot: string;
  };
  ufw: { state: "active" | "inactive" | "missing"; rules: number };
  /** Firewalls of others: nftables tables, chains of iptables, services. */
  otherFirewalls: string[];
  /** Interface of the private address. */
  privateInterface: string;
  /** The time service that runs, `host` in a container, or `none`; and whether the clock is in step. */
  timeSync: string;
  synchronized: boolean;
  /** `recorded` in before.json, `unrecorded` after a look alone, or `unknown`: Berth was here before it kept a record. */
  before: string;
  /** What Berth will change, one line each; empty on a server that is set up. */
  willChange: string[];
}

export interface PreflightDisk {
  name: string;
  /** `disk`, `part`, `raid1`, … */
  type: string;
  bytes: number;
  /** File system or partition table; empty where nothing is found. */
  signature: string;
  label: string;
  uuid: string;
  mounts: string[];
}

/** The facts of stage `preflight`. @throws Error as `parseFacts` does. */
export function readPreflightFacts(stdout: string): PreflightFacts {
  const facts = parseFacts(stdout);
  const ufw = text(facts.ufw);
  return {
    login: text(facts.login),
    sudo: facts.sudo === true,
    users: texts(facts.users).flatMap((line) => {
      const [name, , uid, , , home] = line.split(":");
      return name && home ? [{ name, uid: Number(uid), home }] : [];
    }),
    disks: texts(facts.disks).flatMap(parseDisk),
    mounts: texts(facts.mounts).flatMap((line) => {
      const [source = "", target, filesystem = "", size, free] = line.split(" ").map(plain);
      return target
        ? [{ source, target, filesystem, bytes: Number(size) || 0, freeBytes: Number(free) || 0 }]
        : [];
    }),
    ...(text(facts.docker) === ""
      ? {}
      : {
          docker: {
            version: text(facts.docker),
            package: text(facts.dockerPackage),
            running: number(facts.running),
            containers: number(facts.containers),
            daemonJson: facts.daemonJson === true,
            liveRestore: facts.liveRestore === true,
            cgroupDriver: text(facts.cgroupDriver),
            dataRoot: text(facts.dataRoot),
          },
        }),
    ufw: { state: ufw === "active" || ufw === "inactive" ? ufw : "missing", rules: number(facts.ufwRules) },
    otherFirewalls: texts(facts.otherFirewalls),
    privateInterface: text(facts.privateInterface),
    timeSync: text(facts.timeSync),
    synchronized: facts.synchronized === true,
    before: text(facts.before),
    willChange: texts(facts.willChange),
  };
}

/** util-linux writes what is odd in a value as `\\x20`. */
function plain(value: string): string {
  return value.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** A line of `lsblk -P -b -o NAME,TYPE,SIZE,FSTYPE,PTTYPE,LABEL,UUID,MOUNTPOINT`. */
function parseDisk(line: string): PreflightDisk[] {
  const found = new Map([...line.matchAll(/([A-Z]+)="([^"]*)"/g)].map((m) => [m[1], plain(m[2] ?? "")]));
  const get = (key: string) => found.get(key) ?? "";
  if (get("NAME") === "" || get("TYPE") === "loop") return [];
  const mount = get("MOUNTPOINT");
  return [
    {
      name: get("NAME"),
      type: get("TYPE"),
      bytes: Number(get("SIZE")) || 0,
      signature: get("FSTYPE") || get("PTTYPE"),
      label: get("LABEL"),
      uuid: get("UUID"),
      mounts: mount === "" ? [] : [mount],
    },
  ];
}
