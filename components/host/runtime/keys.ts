/** Package repositories of others: their key is checked by its fingerprint before apt trusts it. Bash. */
import { scriptsOf } from "../script";

const script = scriptsOf(__dirname);

export const KEYS = script("keys.sh");
