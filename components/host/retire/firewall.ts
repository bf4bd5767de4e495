import { CHAINS, OTHERS_RULE } from "../published";
import { scriptsOf } from "../script";

const script = scriptsOf(__dirname);

export const FIREWALL = `chains=(${CHAINS.join(" ")}) others_rule=${OTHERS_RULE}\n${script("leave-firewall.sh")}`;
