import type { Plan, UserPlan } from "../../config";
import { WEB_SERVICES, type WebService } from "../../core/containers";
import { bracketed } from "../../core/net";

/** How a person's browser reaches VS Code, JupyterLab and TensorBoard of their workspace. Pure. */

export type WebUrls = Record<WebService, string>;

export interface Reach {
  /** What may stand in a request's Host header, without the port, beside loopback's own names. */
  hosts: string[];
  urls: WebUrls;
  /** The command for the person's own computer that `urls` need; left out where the node publishes the services. */
  tunnel?: string;
}

/** True where the services are at the node's address too: `berth:workspaces.services`. */
export const arePublished = (plan: Pick<Plan, "workspaceServices">) =>
  plan.workspaceServices === "published-insecure";

/**
 * A host name of the person's own: a browser keeps cookies by host name and not by port (RFC 6265, 8.5), so no other
 * person's server is sent theirs. Names under localhost are this computer's by definition (RFC 6761, 6.3).
 */
export const personalHost = (user: Pick<UserPlan, "name">) => `${user.name}.localhost`;

/** @param host the node's address that the workspace's ports are published on. */
export function reach(
  plan: Pick<Plan, "workspaceServices">,
  user: Pick<UserPlan, "name" | "ports">,
  host: string,
): Reach {
  const own = personalHost(user);
  const urls = (name: string) =>
    Object.fromEntries(
      WEB_SERVICES.map((service) => [service, `http://${name}:${user.ports[service]}`]),
    ) as WebUrls;
  if (arePublished(plan)) return { hosts: [own, bracketed(host)], urls: urls(bracketed(host)) };
  const forwards = WEB_SERVICES.map(
    (service) => `-L ${user.ports[service]}:127.0.0.1:${user.ports[service]}`,
  ).join(" ");
  // Without ExitOnForwardFailure ssh goes on where a port is taken, and the browser talks to whoever has taken it.
  const tunnel = `ssh -N -o ExitOnForwardFailure=yes ${forwards} -p ${user.ports.ssh} ${user.name}@${host}`;
  return { hosts: [own], urls: urls(own), tunnel };
}
