/** The services of a workspace and their ports, in one list. Pure. */

export interface Service {
  /** Where its port is inside the person's block of ports. */
  offset: number;
  /** Its port inside the container. @default the same number as in the person's block */
  inside?: number;
  /** A port on the container's loopback, where the program itself listens behind nginx (berth_workspace/render.py). */
  behind?: number;
  /** True: people open it in a browser. */
  web?: true;
}

/** By the name that `workspace.json` and the stack's outputs have for them. */
export const WORKSPACE_SERVICES = {
  vnc: { offset: 0 },
  novnc: { offset: 1 },
  // code-server listens on a Unix socket behind nginx.
  code: { offset: 2, web: true },
  jupyter: { offset: 3, behind: 8888, web: true },
  tensorboard: { offset: 4, behind: 6006, web: true },
  rdp: { offset: 5 },
  ssh: { offset: 22, inside: 22 },
} as const satisfies Record<string, Service>;

type Services = typeof WORKSPACE_SERVICES;
export type UserService = keyof Services;
export type WebService = { [S in UserService]: Services[S] extends { web: true } ? S : never }[UserService];

const list: [UserService, Service][] = Object.entries(WORKSPACE_SERVICES) as [UserService, Service][];

/** The services that a browser opens. */
export const WEB_SERVICES = list.flatMap(([name, { web }]) => (web ? [name] : [])) as WebService[];

/** Ports that programs inside every workspace listen on, beside the person's block. */
export const WORKSPACE_INNER_PORTS: readonly number[] = list
  .flatMap(([, { inside, behind }]) => [inside ?? [], behind ?? []].flat())
  .sort((a, b) => a - b);

/** A port for each service, in the block that begins at `start`. */
export const servicePorts = (start: number) =>
  Object.fromEntries(list.map(([name, { offset }]) => [name, start + offset])) as Record<UserService, number>;

/**
 * What a workspace's node publishes: SSH, and with `web` the services for browsers too.
 *
 * @param ports of the person's block
 */
export function publishedPorts(
  ports: Readonly<Record<UserService, number>>,
  web: boolean,
): { container: number; host: number }[] {
  const published: UserService[] = ["ssh", ...(web ? WEB_SERVICES : [])];
  return published.map((name) => {
    const { inside = ports[name] }: Service = WORKSPACE_SERVICES[name];
    return { container: inside, host: ports[name] };
  });
}
