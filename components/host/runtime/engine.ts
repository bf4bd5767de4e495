/** Docker itself: whose packages, which version, and how it is started without ending anyone's work. Bash. */

import { scriptsOf } from "../script";
import { checkLinuxName, heredoc, quote } from "../shell";
import { KEYS } from "./keys";
import type { DockerOptions } from "./options";
import { LOAD_JSON } from "./told";

const script = scriptsOf(__dirname);

/** Docker's release key, as docs.docker.com/engine/install prints it; one for Debian's and Ubuntu's packages. */
export const DOCKER_KEY = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88";

/** Whose engine is there, and whose is to be. */
export const existing = (docker: DockerOptions): string =>
  `wanted=${quote(docker.from ?? "")}\n${script("existing.sh")}`;

/** Docker's own repository, before daemon.json. */
export const repository = ({ version = "" }: DockerOptions): string =>
  [KEYS, `docker_key=${DOCKER_KEY} version=${quote(version)}`, script("repository.sh")].join("\n");

export const install = ({ version = "" }: DockerOptions): string =>
  `version=${quote(version)}\n${script("install.sh")}`;

/** The functions `leave_out` and `whole_again`, with the program that they call. */
export const WHOLE = `cat >"$work/without.py" ${heredoc(`${LOAD_JSON}${script("without.py")}`)}\n${script("whole.sh")}`;

export const START = `${WHOLE}\n${script("start.sh")}`;

export const FACTS = script("engine-facts.sh");

/** Where the stage remembers whom it let at Docker, for the day when the node leaves. */
export const LOGIN_RECORD = "docker-login";

/** The login that the Docker provider connects with, where it is not root: it has sudo without a password anyway. */
export const loginStep = (login: string): string =>
  `name=${checkLinuxName(login, "runtime.login")} record=${LOGIN_RECORD}\n${script("login.sh")}`;
