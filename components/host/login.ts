/** Accounts of a server: the login that is to land in a workspace, and whoever stands in the way. Bash; pure. */
import { checkLinuxLogin, checkWhole, quote } from "./shell";

/**
 * Sets `login_problem`: empty, or what is wrong with the login and how it is mended. Needs no library.
 * @param where of the option, for messages
 */
export function loginProblem(login: string, where: string): string {
  const name = quote(checkLinuxLogin(login, where));
  return `
login_problem=
if ! entry=$(getent passwd ${name}); then
  there=$(getent passwd | awk -F : '$3 == 0 || ($3 >= 1000 && $3 < 60000) {print $1}' | paste -s -d ' ')
  login_problem=${quote(`${where} names the login ${login}, and there is none here. Make it (adduser ${login}), or name one of: `)}"$there"
else
  case \${entry##*[:/]} in
    bash | sh | dash | ksh) ;;
    *) login_problem=${quote(`${where} names the login ${login}, whose shell reads no /etc/profile: `)}"\${entry##*:}. Allowed: bash, sh, dash, ksh (chsh -s /bin/bash ${login})" ;;
  esac
fi`.trim();
}

/**
 * Calls `problem` where somebody has Ray's uid: that account would read Ray's token, and be held to the firewall's rules
 * for Ray's tasks.
 */
export function rayAccountProblem(uid: number): string {
  const number = checkWhole(uid, "firewall.rayUid", 1, 65533);
  return `
account=$(getent passwd ${number} | cut -d : -f 1 || true)
if [ -n "$account" ]; then
  problem "the uid ${number} is that of $account here, and Ray's tasks run with it: give $account another one, or have a stack without Ray (berth:ray: {enabled: false})"
fi`.trim();
}
