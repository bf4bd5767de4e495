/** The containers that Berth makes: the services of a workspace. Pure. */
export {
  publishedPorts,
  servicePorts,
  type UserService,
  WEB_SERVICES,
  type WebService,
  WORKSPACE_INNER_PORTS,
  WORKSPACE_SERVICES,
} from "./services";
