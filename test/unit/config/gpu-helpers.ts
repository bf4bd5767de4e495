/** Stacks with GPUs for the tests of the configuration, and what the loader says of them. */
import { local, problems } from "./helpers";

export const H100 = { model: "NVIDIA H100 80GB HBM3", memory: "80GiB" };
export const node = (more: object = {}) => ({ ...local("node-0", "head", "10.88.0.10"), ...more });
export const alice = (more: object = {}) => ({ name: "alice", node: "node-0", index: 0, ...more });
export const stack = (
  parts: { node?: object; user?: object; users?: object[]; [key: string]: unknown } = {},
) => {
  const { node: nodeMore = {}, user = {}, users, ...rest } = parts;
  return { nodes: [node(nodeMore)], users: users ?? [alice(user)], ...rest };
};
/** A node with a GPU of seven instances, and a user who asks. */
export const asking = (gpu: object, more: object = {}) =>
  stack({
    node: {
      gpus: [
        { ...H100, mig: { "1g.10gb": 7 } },
        { ...H100, count: 2 },
      ],
    },
    user: { gpu, ...("group" in more ? { group: more.group } : {}) },
    ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== "group")),
  });
export const texts = (config: Record<string, unknown>) =>
  problems(config).map(({ path, problem, allowed }) => `${path}: ${problem} | ${allowed}`);
