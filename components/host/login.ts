/** Accounts of a server: the login that is to land in a workspace, and whoever stands in the way. Bash; pure. */

import { scriptsOf } from "./script";
import { checkLinuxLogin, checkWhole, quote } from "./shell";

const script = scriptsOf(__dirname);

/**
 * Sets `login_problem`: empty, or what is wrong with the login and how it is mended.
 * @param where of the option, for messages
 */
export const loginProblem = (login: string, where: string): string =>
  `login_name=${quote(checkLinuxLogin(login, where))} login_where=${quote(where)}\n${script("login-problem.sh")}`;

/** Calls `problem` where somebody has Ray's uid. */
export const rayAccountProblem = (uid: number): string =>
  `ray_uid=${checkWhole(uid, "firewall.rayUid", 1, 65533)}\n${script("ray-account.sh")}`;
