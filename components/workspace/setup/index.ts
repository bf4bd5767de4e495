export { AUTO_EXEC_FILE, autoExecFile, renderAutoExec } from "./autoexec";
export { programText, renderSetup } from "./render";
export { environmentLines, planSteps } from "./steps";
export * from "./types";
export { repositoryPath, validateSetup } from "./validate";
