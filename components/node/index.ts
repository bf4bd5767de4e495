/** Nodes: every kind of machine, in one shape. */
export { BaremetalNode, type BaremetalNodeArgs } from "./baremetal";
export { type Connection, dockerSshOptions, knownHostsLine, sshConnection } from "./connection";
export { DropletNode, type DropletNodeArgs } from "./droplet";
export { placeNodeFiles } from "./files";
export { LocalNode, type LocalNodeArgs } from "./local";
export { located, type Node, onMachine, sshTarget, standsOn } from "./types";
