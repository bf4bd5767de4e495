/** User data: what a machine must know before anybody can connect to it. Pure; nothing here knows Pulumi. */
export { type UserDataPart, userDataLimit, userDataSize } from "./parts";
export {
  renderUserData,
  type UserData,
  UserDataError,
  type UserDataOptions,
  type UserDataProblem,
  userDataMarker,
} from "./user-data";
export { cloudConfig } from "./yaml";
