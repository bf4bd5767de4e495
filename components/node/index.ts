/** Nodes: every kind of machine, in one shape. */
export { BaremetalNode } from "./baremetal";
export { knownHostsLine } from "./connection";
export { DropletNode, type DropletNodeArgs } from "./droplet";
export { LocalNode, type LocalNodeArgs } from "./local";
export { located, type Node, onMachine, sshTarget, standsOn } from "./types";
