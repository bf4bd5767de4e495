/** @file What the tables of hostile rows are made of. Pure. */
import { userFolders } from "../../../components/workspace/files";
import type { Attempt } from "../../lib/attempts";

/**
 * `node`: root of node-1, for controls; `nobody`: an account of node-1 that is nobody's; `outsider`: another computer on
 * the nodes' network; `ray`: a Ray task on node-1.
 */
export type Place = "alice" | "bob" | "carol" | "node" | "nobody" | "outsider" | "ray";

/** An attempt, from where it is made, and what must come of it. */
export interface Row extends Attempt {
  /** Goes on with the place: `carol: …`. */
  what: string;
  from: Place;
  /** Of both streams, with `exit CODE` as the last line where that is not 0; a text: all of it. */
  expect: string | RegExp;
}

/** curl's codes: no answer in time, and nobody there. */
export const TIMED_OUT = /exit 28$/;
export const OUT_OF_REACH = /exit (7|28)$/;

/** Asks for a URL, or with options for anything that curl can; at most three seconds, as a firewall is silent. */
export const curl = (url: string, options = "") =>
  `curl --noproxy '*' -g -sS -m 3 -o /dev/null -w '%{http_code}\\n' ${options} "${url}"`;

/** A request with JSON. */
export const json = (method: string, body: string) =>
  `-X ${method} -H 'Content-Type: application/json' -d '${body}'`;

/** What every folder of carol's gets, and the container's own layer, where nobody else comes. */
export const SETUID = "hostile-id";
export const OWN_LAYER = "/usr/local/bin";
export const INSIDE = ["/home/carol", "/workspace", "/shared/tensorboard/carol", "/var/lib/state"];
const of = userFolders({ name: "carol" });
/** The same folders on the node. */
export const ON_NODE = [of.home, of.workspace, of.tensorboard, of.state];

/** A device that would give zeros for ever, made in carol's home by the node's root, as she cannot. */
export const DEVICE = "hostile-zero";

/** Where a cloud's machines ask what they are; here another computer of the network answers. */
export const METADATA = "169.254.169.254";
