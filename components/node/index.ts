/** Nodes: every kind of machine, in one shape. */
export { BaremetalNode } from "./baremetal";
export { knownHostsLine } from "./connection";
export { DropletNode } from "./droplet";
export { LocalNode } from "./local";
export { located, type Node, onMachine, sshTarget, standsOn } from "./types";
