/** The bash with which the preflight looks at a server. It reads; nothing here writes outside `$work`. Pure text. */

import { dockerBridges, ownAddresses } from "../bridges";
import { OTHERS_RULE } from "../published";
import { scriptsOf } from "../script";

const script = scriptsOf(__dirname);

export const helpers = script("look-helpers.sh");

export const SYSTEM = `${ownAddresses}\n${script("look-system.sh")}`;

export const DOCKER = `${dockerBridges}\n${script("look-docker.sh")}`;

export const FIREWALLS = `others_rule=${OTHERS_RULE}\n${script("look-firewalls.sh")}`;

export const LISTENERS = script("look-listeners.sh");

export const VERDICT = script("look-verdict.sh");
