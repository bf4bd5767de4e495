/** What a node gets for the container manager: git and the account that runs it. Pure. */
import { GIT_ACCOUNT } from "../../core/manager";
import { scriptsOf } from "./script";
import { heredoc } from "./shell";
import type { StageStep } from "./stage";

const script = scriptsOf(__dirname);

/** The first git that dials the addresses that it is told (`http.curloptResolve`). Ubuntu 22.04 has 2.34. */
const GIT_FLOOR = "2.38";

/** The account passes through it to the repositories, which /var/lib/berth does not allow; see agent/src/paths.ts. */
const CACHE = "/var/cache/berth";

/** Beside the containers: what git takes is counted here, and bounded for each run. */
const SLICE = `# Berth. This file is rendered.
[Unit]
Description=Berth: what the container manager starts beside containers
Before=slices.target

[Slice]
CPUAccounting=yes
MemoryAccounting=yes
TasksAccounting=yes
CPUWeight=50
TasksMax=512
`;

const PROLOGUE = `git_name=${GIT_ACCOUNT.name} git_uid=${GIT_ACCOUNT.uid} git_gid=${GIT_ACCOUNT.gid} git_floor=${GIT_FLOOR}`;

export const MANAGER_STEP: StageStep = {
  name: "what the container manager needs",
  body: `${PROLOGUE} cache=${CACHE}
place 0644 /etc/systemd/system/berth-manager.slice manager-slice ${heredoc(SLICE)}
${script("manager.sh")}`,
  deadlineSeconds: 1200,
};

/** Calls `problem` for each. */
export const MANAGER_PROBLEMS = `${PROLOGUE}\n${script("manager-problems.sh")}`;
