/** What the container manager decides: templates, the plan of their pools, room, and what a request may name. Pure. */
export { parseBranch } from "./branch";
export { admit, type Bound, capacity, type Need, type NodeRoom, type TemplateRoom } from "./capacity";
export { environmentBytes, environmentSchema } from "./environment";
export { GIT_ACCOUNT, GIT_FLOOR, SYSTEMS_WITH_GIT } from "./git";
export { chooseHostPorts, type HostPortsInput, quarantine } from "./host-ports";
export {
  type ImageName,
  imageAllowed,
  imageText,
  isImage,
  isImagePattern,
  type OwnImage,
  parseImageName,
} from "./image-names";
export {
  type Install,
  installCommand,
  type PackageManager,
  type ProjectFiles,
  startCommand,
} from "./install";
export {
  type Generation,
  PACKAGES_PATH,
  type PackageBounds,
  type PackagesOf,
  packagesBelow,
  packagesHaveRoom,
  packagesKey,
  packagesName,
  packagesToRemove,
} from "./packages";
export {
  afterFailure,
  type BackOff,
  claimable,
  type PoolContainer,
  type PoolInput,
  type PoolPlan,
  planPool,
} from "./pool-plan";
export {
  hostOf,
  parseRepository,
  parseToken,
  type Repository,
  type RepositoryHost,
  repositoryKey,
  shownName,
} from "./repository";
export { type PoolSize, sizeAt } from "./schedule";
export {
  isOver,
  PHASE_WORDS,
  SETUP_PHASES,
  type SetupPhase,
  type SetupStatus,
  setupStatus,
  workdirProblem,
} from "./setup";
export {
  type ImageBounds,
  type ImageQuestion,
  type ImageSource,
  imageDecision,
  imagesToRemove,
  type KeptImage,
} from "./setup-images";
export { needOf, type Template, templateHash, templateSchema, templatesSchema } from "./template";
