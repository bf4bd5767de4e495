/** What dockerd is told beside daemon.json: the options on its command line, from its unit. Python and bash, pure text. */

import { scriptsOf } from "../script";
import { heredoc } from "../shell";

const script = scriptsOf(__dirname);

export const LOAD_JSON = `${script("load-json.py")}\n`;

export const TOLD = `${LOAD_JSON}\n${script("told.py")}`;

/** The functions `read_unit` and `told`, with the program that they call. */
export const READ_UNIT = `cat >"$work/told.py" ${heredoc(TOLD)}\n${script("told.sh")}`;

/** Every key that Berth may set in daemon.json, whatever the version. */
export const ALL_KEYS = (config: Readonly<Record<string, unknown>>): string[] => [
  ...Object.keys(config),
  "features",
  "firewall-backend",
];
