/** The runtime stage: Docker, and NVIDIA's part where a GPU is found. Pure. */
import { renderStage, type StageStep } from "../stage";
import { daemonConfig, daemonJson, refusals } from "./daemon";
import { driverStep } from "./driver";
import { existing, FACTS, install, loginStep, repository, START } from "./engine";
import { floorsStep } from "./floors";
import { migStep } from "./mig";
import { CDI, persistenceStep, REBOOT, TOOLKIT } from "./nvidia";
import type { NvidiaOptions, RuntimeOptions } from "./options";

/** The steps in their order. */
export function runtimeSteps(options: RuntimeOptions): StageStep[] {
  const docker = options.docker ?? {};
  return [
    { name: "what is installed", body: existing(docker), deadlineSeconds: 600 },
    { name: "what Docker is told by others", body: refusals(daemonConfig(options)), deadlineSeconds: 60 },
    { name: "version floors of what is there", body: floorsStep(docker, "before"), deadlineSeconds: 60 },
    ...(docker.from === "docker"
      ? [{ name: "Docker's repository", body: repository(docker), deadlineSeconds: 600 }]
      : []),
    { name: "daemon.json", body: daemonJson(daemonConfig(options)) },
    { name: "install Docker", body: install(docker), deadlineSeconds: 1200 },
    { name: "version floors", body: floorsStep(docker, "after"), deadlineSeconds: 60 },
    { name: "start Docker", body: START, deadlineSeconds: 400 },
    ...(options.login === undefined || options.login === "root"
      ? []
      : [{ name: "Docker for the login", body: loginStep(options.login) }]),
    ...(options.gpu !== "off" ? gpuSteps(options.nvidia ?? {}) : []),
    { name: "facts", body: FACTS, deadlineSeconds: 60 },
  ];
}

/** What is done where a GPU is found; each step asks for itself. */
function gpuSteps(nvidia: NvidiaOptions): StageStep[] {
  const driver = nvidia.driver ?? { install: false };
  return [
    {
      name: "GPU and its driver",
      body: driverStep(driver),
      // Kernel modules are built on the node.
      deadlineSeconds: driver.install ? 3000 : 300,
    },
    { name: "NVIDIA persistence", body: persistenceStep(nvidia.persistenced ?? true) },
    { name: "NVIDIA container toolkit", body: TOOLKIT, deadlineSeconds: 1200 },
    { name: "MIG layout", body: migStep(nvidia), deadlineSeconds: 1800 },
    { name: "CDI devices", body: CDI },
    { name: "need for a reboot", body: REBOOT, deadlineSeconds: 30 },
  ];
}

export function renderRuntime(options: RuntimeOptions & { node: string }): string {
  return renderStage({
    name: "runtime",
    node: options.node,
    uses: ["files", "apt"],
    steps: runtimeSteps(options),
    ...(options.gpu === "off" ? { facts: { gpu: "off" } } : {}),
  });
}
