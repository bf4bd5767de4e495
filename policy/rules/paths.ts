import { bare, fields, items, type Props, text } from "./rule";

/** A path of the host that a container sees. */
export interface HostPath {
  /** Where it is written, such as `mounts[0].source`. */
  readonly at: string;
  readonly path: string;
  /** False also where only an update will know. */
  readonly readOnly: boolean;
}

/** Paths of the host that the container sees; what only an update will know is left out. */
export function hostPaths(props: Props): HostPath[] {
  const mounts = items(props.mounts).flatMap((item, i) => {
    const { type, source, readOnly } = fields(item);
    const path = text(source);
    return text(type) === "bind" && path !== undefined
      ? [{ at: `mounts[${i}].source`, path, readOnly: bare(readOnly) === true }]
      : [];
  });
  const volumes = items(props.volumes).flatMap((item, i) => {
    const { hostPath, readOnly } = fields(item);
    const path = text(hostPath);
    return path === undefined || path === ""
      ? []
      : [{ at: `volumes[${i}].hostPath`, path, readOnly: bare(readOnly) === true }];
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
