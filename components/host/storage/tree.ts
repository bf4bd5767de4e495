/** The directories of a node: the ones users know, and the tree that workspaces are mounted from. Pure. */
import { scriptsOf } from "../script";
import { checkPath, quote, quoteAll } from "../shell";
import type { StageStep } from "../stage";

const script = scriptsOf(__dirname);

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
    ({ path, mode }) => `${quote(path === "" ? root : `${root}/${path}`)} ${mode}`,
  );
  const values = `root=${quote(root)} directories=(${quoteAll(directories)}) tree=(${tree.join(" ")})`;
  return { name: "directories", body: `${values}\n${script("tree.sh")}` };
}
