/** Whose lines of /etc/fstab are whose. Bash, pure text. */
import { scriptsOf } from "../script";

const script = scriptsOf(__dirname);

export const fstabLibrary = script("fstab.sh");
