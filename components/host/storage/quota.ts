/**
 * Limits for homes: a project number of the file system for each, which is the uid of its owner. Pure.
 *
 * Project quotas, not the user's: a home counts whatever uid writes into it, and files elsewhere do not.
 */
import { scriptsOf } from "../script";
import { quote } from "../shell";
import type { StageStep } from "../stage";
import type { StoragePlan } from "./spec";

const script = scriptsOf(__dirname);

export function quotaStep(plan: StoragePlan): StageStep {
  const limits = plan.quotas.map(
    ({ user, uid, softKib, hardKib }) => `${quote(user)} ${uid} ${softKib} ${hardKib}`,
  );
  const values = `homes=${quote(`${plan.root}/homes`)} limits=(${limits.join(" ")})`;
  return { name: "quotas of homes", body: `${values}\n${script("quota.sh")}`, deadlineSeconds: 3600 };
}
