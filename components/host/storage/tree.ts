/** The directories of a node: the ones users know, and the tree that workspaces are mounted from. Pure. */
import { checkPath, quote } from "../shell";
import type { StageStep } from "../stage";

export interface TreeOptions {
  /** Root of the tree that homes, workspaces and shared files live in. @default "/mnt/storage" */
  root?: string;
  /** Directories at the top of the node. @default ["/workspace", "/data", "/data2"] */
  directories?: readonly string[];
}

export const defaultStorage = {
  root: "/mnt/storage",
  directories: ["/workspace", "/data", "/data2"],
} as const;

/**
 * The tree below the root, parents first. One user's directories are made with the workspace. The parents of
 * private directories can be passed through, not listed: who else has a home there is nobody's business.
 */
export const storageTree: readonly { path: string; mode: string }[] = [
  { path: "", mode: "0755" },
  { path: "homes", mode: "0711" },
  { path: "workspaces", mode: "0711" },
  { path: "docker-volumes", mode: "0711" },
  { path: "shared", mode: "0755" },
  { path: "shared/datasets", mode: "0755" },
  { path: "shared/tensorboard", mode: "0755" },
];

/** The step that makes them. What is there stays, with its owner. */
export function directoriesStep(options: TreeOptions): StageStep {
  const root = checkPath(options.root ?? defaultStorage.root, "storage.root");
  const directories = (options.directories ?? defaultStorage.directories).map((path, i) =>
    checkPath(path, `storage.directories[${i}]`),
  );
  const tree = storageTree.map(
    ({ path, mode }) => `ours ${quote(path === "" ? root : `${root}/${path}`)} ${mode}`,
  );
  // What is there stays as it is: only a directory that belongs to root, in a tree that is ours, gets its mode.
  const body = `
kept=()
missing() {
  if [ -d "$1" ]; then return 1; fi
  if [ -e "$1" ] || [ -L "$1" ]; then
    fail "$1 is in the way: it is $(stat -c %F -- "$1"), and a directory is wanted there"
  fi
  install -d -m "$2" -- "$1" || fail "$1 cannot be made"
  changed "$1"
}
ours() {
  if missing "$1" "$2"; then return 0; fi
  if [ "$(stat -L -c '%u %g' -- "$1")" != '0 0' ]; then
    kept+=("$1")
  elif [ "$(stat -L -c %a -- "$1")" != "\${2#0}" ]; then
    chmod "$2" -- "$1" || fail "$1 cannot be given mode $2"
    changed "$1"
  fi
}
${directories.map((path) => `missing ${quote(path)} 0755 || true`).join("\n")}
${tree.join("\n")}
fact_json kept "$(if [ "\${#kept[@]}" -gt 0 ]; then printf '%s\\n' "\${kept[@]}"; fi | json_lines)"
fact filesystem "$(stat -f -c %T -- ${quote(root)})"
fact_json sizeBytes "$(df -P -B1 -- ${quote(root)} | awk 'NR == 2 {print $2}')"
`;
  return { name: "directories", body };
}
