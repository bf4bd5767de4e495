import { checkDigitalocean } from "./digitalocean/check";
import { checkGpu } from "./gpu/check";
import { checkMachines, checkNodes } from "./machines/check";
import { checkManager } from "./manager/check";
import { checkFabric, checkFirewall, checkNetwork, checkPorts, checkReach } from "./network/check";
import type { PortPlan } from "./network/ports";
import type { Problem, Report } from "./problems";
import { checkRayAccess } from "./ray/check";
import { checkRuntime } from "./runtime/check";
import type { StackConfig } from "./schema";
import { checkStorage } from "./storage/check";
import { checkUsers } from "./users/check";

export type SetupValidator = (path: string, setup: unknown) => Omit<Problem, "problem">[];

/** Everything that is wrong with a well-shaped configuration, in the order of the file. */
export function validate(config: StackConfig, ports: PortPlan, validateSetup: SetupValidator): Problem[] {
  const problems: Problem[] = [];
  const report: Report = (path, value, problem, allowed) =>
    problems.push({ path: `berth:${path}`, value, problem, allowed });

  checkNetwork(config, report);
  checkNodes(config, report);
  checkUsers(config, ports, report);
  for (const [i, user] of config.users.entries()) {
    if (!user.setup) continue;
    for (const p of validateSetup(`users[${i}].setup`, user.setup))
      report(p.path, p.value, "cannot be used in the set-up", p.allowed);
  }
  checkRayAccess(config, report);
  checkFirewall(config, report);
  checkPorts(ports, report);
  checkMachines(config, report);
  checkDigitalocean(config, report);
  checkReach(config, report);
  checkStorage(config, report);
  checkFabric(config, report);
  checkRuntime(config, report);
  checkGpu(config, report);
  checkManager(config, report);
  return problems;
}
