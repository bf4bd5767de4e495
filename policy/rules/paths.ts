import { bare, fields, items, type Props, text, type Value } from "./rule";

/** A path of the host that a container sees. */
export interface HostPath {
  /** Where it is written, such as `mounts[0].source`. */
  readonly at: string;
  readonly path: string;
  /** False also where only an update will know. */
  readonly readOnly: boolean;
}

const at = (where: string, path: string | undefined, readOnly: boolean): HostPath[] =>
  path === undefined || path === "" ? [] : [{ at: where, path, readOnly }];

/** A path of the host where a name could stand as well. */
const absolute = (value: Value | undefined): string | undefined => {
  const said = text(value);
  return said?.startsWith("/") ? said : undefined;
};

/**
 * Paths of the host that the container sees, also those of its volumes: the provider hands a name to Docker as it is, which
 * takes an absolute path for one, and Docker's driver "local" mounts what `device` says. What only an update will know is
 * left out.
 */
export function hostPaths(props: Props): HostPath[] {
  const mounts = items(props.mounts).flatMap((item, i) => {
    const { type, source, readOnly, volumeOptions } = fields(item);
    const read = bare(readOnly) === true;
    if (text(type) === "bind") return at(`mounts[${i}].source`, text(source), read);
    return at(
      `mounts[${i}].volumeOptions.driverOptions.device`,
      absolute(fields(fields(volumeOptions).driverOptions).device),
      read,
    );
  });
  const volumes = items(props.volumes).flatMap((item, i) => {
    const { hostPath, volumeName, readOnly } = fields(item);
    const read = bare(readOnly) === true;
    return [
      ...at(`volumes[${i}].hostPath`, text(hostPath), read),
      ...at(`volumes[${i}].volumeName`, absolute(volumeName), read),
    ];
  });
  return [...mounts, ...volumes];
}

/** `/a//b/../c/` as `/a/c`. */
export function normal(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}
