/** The steps of the retirement that take single things away. Each looks at what is there, and runs again unharmed. Pure text. */

import { scriptsOf } from "../script";
import { PROGRAM } from "../storage/guard";
import { GUARDED } from "../storage/guard-program";
import { recordedSysctls } from "./before";

const script = scriptsOf(__dirname);

export const CONTAINERS = script("leave-containers.sh");

export const SERVICES = script("leave-services.sh");

export const UNBIND = `guard=${PROGRAM}\n${script("leave-binds.sh")}`;

export const UNGUARD = `guard=${PROGRAM} guarded=${GUARDED}\n${script("leave-guard.sh")}`;

export const FABRIC = script("leave-fabric.sh");

export const NVIDIA = script("leave-nvidia.sh");

export const SETTINGS = `sysctls=(${recordedSysctls.join(" ")})\n${script("leave-settings.sh")}`;

export const LAST = script("leave-last.sh");
