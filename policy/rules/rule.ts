/** What a rule of the policy pack is, and the values that it looks at. Pure. */

/** A value that only an update will know. */
export const UNKNOWN = Symbol("unknown");

/** A value that the program marked as secret. */
export class Hidden {
  constructor(readonly value: Value) {}
}

export type Value =
  | null
  | boolean
  | number
  | string
  | typeof UNKNOWN
  | Hidden
  | readonly Value[]
  | { readonly [key: string]: Value };

export type Props = Readonly<Record<string, Value>>;

/** A resource as the engine is about to register it. */
export interface Seen {
  /** Type token, such as `docker:index/container:Container`. */
  readonly type: string;
  readonly urn: string;
  /** Inputs, after the provider filled in its defaults. */
  readonly props: Props;
  readonly protect: boolean;
}

/** A range of ports, both ends inclusive. */
export interface OpenRange {
  readonly protocol: "tcp" | "udp";
  readonly start: number;
  readonly end: number;
}

/** Folders of a node that people write to, which it mounts nosuid and nodev; absolute, by what they are for. */
export type PeoplesFolders = Readonly<Record<"homes" | "workspaces" | "state" | "shared", readonly string[]>>;

/** What the stack's configuration says that the rules depend on. */
export interface Facts {
  /** Name of the stack. */
  readonly stack: string;
  readonly production: boolean;
  /** Ports that the configuration opens to everybody. */
  readonly open: readonly OpenRange[];
  /** Ports of containers that the configuration publishes on a machine's public address. */
  readonly published: readonly OpenRange[];
  /** Users who are root in their own workspace. */
  readonly sudo: readonly string[];
  /** What people may have mounted, by node. */
  readonly folders: Readonly<Record<string, PeoplesFolders>>;
}

/** A rule that looks at one resource at a time. */
export interface Rule {
  /** Identifier in reports: lower case, with hyphens. */
  readonly name: string;
  /** One sentence: what holds, and why. */
  readonly description: string;
  /** Each thing wrong with the resource: where, what, how to mend it. Never a secret. */
  check(resource: Seen, facts: Facts): string[];
}

/** A rule that looks at all resources together. */
export interface StackRule {
  readonly name: string;
  readonly description: string;
  check(resources: readonly Seen[], facts: Facts): string[];
}

/** Without the mark of a secret. */
export function bare(value: Value | undefined): Exclude<Value, Hidden> | undefined {
  return value instanceof Hidden ? bare(value.value) : value;
}

/** A text; undefined for anything else, unknown values too. */
export function text(value: Value | undefined): string | undefined {
  const found = bare(value);
  return typeof found === "string" ? found : undefined;
}

export const isUnknown = (value: Value | undefined): boolean => bare(value) === UNKNOWN;

/** A list's items; none for what is missing or unknown. */
export function items(value: Value | undefined): readonly Value[] {
  const found = bare(value);
  return Array.isArray(found) ? (found as readonly Value[]) : [];
}

/** An object's fields; none for anything else. */
export function fields(value: Value | undefined): Props {
  const found = bare(value);
  return found !== null && typeof found === "object" && !Array.isArray(found) ? (found as Props) : {};
}

/** The texts of a list; what is unknown is left out. */
export const texts = (value: Value | undefined): string[] =>
  items(value).flatMap((item) => {
    const found = text(item);
    return found === undefined ? [] : [found];
  });

/** True where nothing is given: missing, null or "". */
export const isEmpty = (value: Value | undefined): boolean => {
  const found = bare(value);
  return found === undefined || found === null || found === "";
};

/** Labels as `docker.Container` and `docker.Volume` take them, by name. */
export function labelsOf(props: Props): Record<string, Value> {
  return Object.fromEntries(
    items(props.labels).flatMap((item) => {
      const { label, value } = fields(item);
      const name = text(label);
      return name === undefined ? [] : [[name, value ?? null]];
    }),
  );
}

export const CONTAINER = "docker:index/container:Container";
export const IMAGE = "docker:index/remoteImage:RemoteImage";
export const DOCKER_VOLUME = "docker:index/volume:Volume";
export const FIREWALL = "digitalocean:index/firewall:Firewall";
export const DROPLET = "digitalocean:index/droplet:Droplet";
export const BLOCK_VOLUME = "digitalocean:index/volume:Volume";
