/** What a node gets for the container manager: git and the account that runs it. Pure. */
import { GIT_ACCOUNT, GIT_FLOOR, SYSTEMS_WITH_GIT } from "../../core/manager";
import { scriptsOf } from "./script";
import { heredoc, quote } from "./shell";
import type { StageStep } from "./stage";

const script = scriptsOf(__dirname);

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

/** What the account's entry says of it: by that it is known as Berth's when the server leaves. */
const ABOUT = "Berth, repositories of back-ends";

const ACCOUNT = `git_name=${GIT_ACCOUNT.name} git_uid=${GIT_ACCOUNT.uid} git_gid=${GIT_ACCOUNT.gid} git_about=${quote(ABOUT)}`;
const PROLOGUE = `${ACCOUNT}
git_floor=${GIT_FLOOR} git_systems=${quote(SYSTEMS_WITH_GIT)}`;

export const MANAGER_STEP: StageStep = {
  name: "what the container manager needs",
  body: `${PROLOGUE} cache=${CACHE}
place 0644 /etc/systemd/system/berth-manager.slice manager-slice ${heredoc(SLICE)}
${script("manager.sh")}`,
  deadlineSeconds: 1200,
};

/** Calls `problem` for each. */
export const MANAGER_PROBLEMS = `${PROLOGUE}\n${script("manager-problems.sh")}`;

/** As the server leaves the stack. */
export const MANAGER_LEAVES = `${ACCOUNT}\n${script("retire/leave-account.sh")}`;
