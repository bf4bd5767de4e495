/** Nodes: every kind of machine, in one shape. */
export { type Connection, dockerSshOptions, knownHostsLine, sshConnection } from "./connection";
export { LocalNode, type LocalNodeArgs } from "./local";
export { type Node, onMachine } from "./types";
