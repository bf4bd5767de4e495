export { AUTO_EXEC_FILE, type AutoExecOptions, autoExecFile, renderAutoExec } from "./autoexec";
export {
  programText,
  type RenderedSetup,
  renderSetup,
  type SetupOptions,
  type SetupStepFacts,
} from "./render";
export { environmentLines, type Program, planSteps, type SetupStep, servicesFile } from "./steps";
export * from "./types";
export { MAX_CREDENTIAL_BYTES, repositoryPath, validateSetup } from "./validate";
