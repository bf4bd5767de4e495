/** Which interfaces are whose: Docker is asked, the look of a name says nothing. Pure text. */
import { scriptsOf } from "./script";

const script = scriptsOf(__dirname);

/** Where the answer is kept on a node, for the starts at which Docker cannot be asked yet. */
export const KNOWN_INTERFACES = "/var/lib/berth/interfaces";

/** The bridge of Docker's default network, and Berth's (`berth-ws0`, `berth-ct0`); podman's are podman0, podman1, … */
export const KNOWN_BRIDGES = { docker: ["docker0", "berth+"], podman: ["podman+"] } as const;

export const dockerBridges = script("bridges.sh");

export const ownAddresses = `${dockerBridges}\n${script("own-addresses.sh")}`;
