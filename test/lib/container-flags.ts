/** @file What the docker command is given to make a container that may do as much as one of Berth's. */
import { type ContainerKind, containerPolicies } from "../../core/containers";

/** @param sudo true: a workspace whose owner may gain rights */
export function policyFlags(kind: ContainerKind, sudo = false): string[] {
  const { capabilities, mayGainRights, securityOptions = [], cgroupns } = containerPolicies[kind];
  return [
    ...["--cap-drop", "ALL", ...capabilities.flatMap((name) => ["--cap-add", name])],
    ...(mayGainRights || sudo ? [] : ["--security-opt", "no-new-privileges"]),
    ...securityOptions.flatMap((option) => ["--security-opt", option]),
    ...(cgroupns === undefined ? [] : ["--cgroupns", cgroupns]),
  ];
}
