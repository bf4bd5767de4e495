/**
 * What stands in for NVIDIA's driver on a node whose GPUs are declared: nvidia-smi and the CDI devices, made from
 * `gpus.json`; without that file, what an earlier run made is taken away. Prints the names of what it changed.
 */
import {
  cdiSpec,
  fakePaths,
  installFakeNvidiaSmi,
  readDeclared,
  removeFakeNvidiaSmi,
  writeCdiSpec,
} from "./inventory";
import { agentPaths } from "./paths";

const root = process.env.BERTH_AGENT_ROOT || "/";
const fake = fakePaths(root);
const declared = readDeclared(agentPaths(root).gpusFile);
const changed: string[] = [];
if (declared) {
  if (installFakeNvidiaSmi(declared, fake)) changed.push(fake.command);
} else {
  removeFakeNvidiaSmi(fake);
}
if (writeCdiSpec(declared && cdiSpec(declared, fake), root)) changed.push("CDI devices");
process.stdout.write(changed.map((name) => `${name}\n`).join(""));
