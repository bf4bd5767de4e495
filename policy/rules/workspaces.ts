import { AGENT } from "../../components/agent/options";
import { containerPolicies, LABEL } from "../../core/containers";
import { slicePath, userSlice } from "../../core/limits";
import { USER_NAME } from "../../core/names";
import { isPersons } from "./containers";
import { hostPaths, normal } from "./paths";
import {
  CONTAINER,
  type Facts,
  fields,
  isEmpty,
  isUnknown,
  items,
  labelsOf,
  type PeoplesFolders,
  type Props,
  type Rule,
  text,
  texts,
} from "./rule";

/** MKNOD, NET_RAW and SETFCAP of Docker's default set are not among them. */
const CAPABILITIES = new Set(containerPolicies.workspace.capabilities);

/** Berth's own files for one person, which their container has read-only. */
const berthsOwn = (owner: string) => [
  AGENT.programs,
  `${AGENT.sockets}/${owner}`,
  `/var/lib/berth/workspaces/${owner}`,
];

const isBelow = (path: string, folder: string) => path.slice(0, path.lastIndexOf("/")) === folder;

/**
 * Whether a person's container may have it: their own folders, and what is shared. Not what lies below their own: there
 * they may put a link to anywhere, which Docker would follow on the node.
 */
function isOpen(path: string, { homes, workspaces, state, shared }: PeoplesFolders, owner: string): boolean {
  const own = [
    ...[...homes, ...workspaces].map((folder) => `${folder}/${owner}`),
    ...state.map((folder) => `${folder}/${owner}-state`),
    ...shared.map((folder) => `${folder}/tensorboard/${owner}`),
  ];
  return own.includes(path) || shared.some((folder) => path === folder || isBelow(path, folder));
}

function binds(props: Props, owner: string, folders: PeoplesFolders | undefined): string[] {
  return hostPaths(props).flatMap(({ at, path, readOnly }) => {
    const source = normal(path);
    if (folders && isOpen(source, folders, owner)) return [];
    if (berthsOwn(owner).includes(source))
      return readOnly ? [] : [`${at} is ${source}, which is Berth's own: mount it with readOnly: true`];
    const mend = folders
      ? `mount ${[...folders.homes, ...folders.workspaces].map((folder) => `${folder}/${owner}`).join(" or ")}, or what lies in ${folders.shared.join(" or ")}; files that lie elsewhere come there by storage.bind of the configuration`
      : "label berth.node says on which node of the configuration it runs: set it";
    return [
      `${at} is ${source}, which is neither ${owner}'s own folder nor shared, so that no nosuid and nodev is sure: ${mend}`,
    ];
  });
}

/** Files that lie where no guard is: volumes of Docker, temporary file systems with other options, later mounts. */
function elsewhere(props: Props): string[] {
  const mend = "use a folder under /mnt/storage, which the node mounts nosuid and nodev";
  const found: string[] = [];
  for (const [i, item] of items(props.mounts).entries()) {
    const { type, bindOptions } = fields(item);
    const kind = text(type);
    if (kind !== undefined && kind !== "bind" && kind !== "tmpfs")
      found.push(`mounts[${i}] is of type ${kind}: ${mend}`);
    const propagation = text(fields(bindOptions).propagation) ?? "";
    if (!["", "private", "rprivate"].includes(propagation))
      found.push(
        `mounts[${i}].bindOptions.propagation is ${propagation}, which lets in what is mounted later: leave it out`,
      );
  }
  for (const [i, item] of items(props.volumes).entries()) {
    const { hostPath, volumeName, fromContainer } = fields(item);
    // Of a name and a path, some versions of the provider take the one, some the other.
    if (isEmpty(hostPath) || !isEmpty(volumeName) || !isEmpty(fromContainer))
      found.push(`volumes[${i}] is a volume of Docker: ${mend}`);
  }
  for (const [path, value] of Object.entries(fields(props.tmpfs)))
    for (const option of (text(value) ?? "").split(","))
      if (option === "suid" || option === "dev")
        found.push(`tmpfs["${path}"] has the option ${option}: leave it out`);
  return found;
}

function kernel(props: Props): string[] {
  const found: string[] = [];
  const { adds, drops } = fields(props.capabilities);
  if (!isUnknown(props.capabilities)) {
    if (!isUnknown(drops) && !items(drops).some(isUnknown) && !texts(drops).includes("ALL"))
      found.push('capabilities.drops lacks "ALL": Docker\'s default set has MKNOD, NET_RAW and SETFCAP');
    for (const name of texts(adds))
      if (!CAPABILITIES.has(name.replace(/^CAP_/i, "").toUpperCase()))
        found.push(`capability ${name} is more than a workspace needs: leave it out`);
  }
  // The engine's own default is the host's on cgroup v1 (dockerd, "--default-cgroupns-mode").
  if (!isUnknown(props.cgroupnsMode) && text(props.cgroupnsMode) !== "private")
    found.push("cgroupnsMode is not \"private\": say so, an engine's own default may be the host's");
  for (const mode of ["pidMode", "ipcMode", "networkMode"])
    if (/^container:/.test(text(props[mode]) ?? ""))
      found.push(`${mode}: "${text(props[mode])}" shares another container's: leave it out`);
  if (text(props.ipcMode) === "shareable") found.push('ipcMode: "shareable" lets others in: say "private"');
  return found;
}

/** Outside the slice that holds all of a person's containers together, their totals do not hold. */
function slice(props: Props, owner: string): string[] {
  if (isUnknown(props.cgroupParent)) return [];
  const at = text(props.cgroupParent) ?? "";
  // Which group is the person's, the limits of the configuration decide: any will do here.
  const [, group = ""] = /berth-([a-z0-9_]+)-[a-z0-9_]+\.slice$/.exec(at) ?? [];
  const name = userSlice({ name: owner, group });
  if (at === name || at === slicePath(name)) return [];
  const own = slicePath(userSlice({ name: owner, group: "GROUP" }));
  return [`cgroupParent is ${JSON.stringify(at)}, so that ${owner}'s totals do not hold: say "${own}"`];
}

/**
 * A person's container keeps to its person: a fixed list of capabilities, no namespace of the node or of another
 * container, and of the node's files nothing but that person's own folders and what is shared, which the node mounts
 * nosuid and nodev (components/host/storage/guard.ts), and Berth's own for that person, read-only. It is in its person's slice.
 *
 * It judges every container whose owner is a person, whatever its component, and every workspace.
 */
export const workspaces: Rule = {
  name: "people-stay-in-their-own",
  description:
    "A person's container sees that person's folders alone, nosuid and nodev, and has no rights beyond a workspace's.",
  check: ({ type, props }, { folders }: Facts) => {
    if (type !== CONTAINER) return [];
    const labels = labelsOf(props);
    const owner = text(labels[LABEL.owner]);
    const component = text(labels[LABEL.component]);
    if (component !== containerPolicies.workspace.component && !isPersons(owner)) return [];
    const node = text(labels[LABEL.node]) ?? "";
    return [
      ...(USER_NAME.test(owner ?? "")
        ? binds(props, owner ?? "", Object.hasOwn(folders, node) ? folders[node] : undefined)
        : ["label berth.owner is no name of a person: use the name that the configuration has"]),
      ...(USER_NAME.test(owner ?? "") ? slice(props, owner ?? "") : []),
      ...elsewhere(props),
      ...kernel(props),
    ];
  },
};
