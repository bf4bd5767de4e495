/** Every operation that the test API plays. */
import { accountRoutes } from "./account";
import { domainRoutes } from "./domains";
import { dropletActionRoutes } from "./droplet-actions";
import { dropletRoutes } from "./droplets";
import { firewallRoutes, reservedIpRoutes } from "./network";
import { projectRoutes } from "./projects";
import type { Route } from "./route";
import { tagRoutes } from "./tags";
import { volumeRoutes } from "./volumes";
import { vpcRoutes } from "./vpcs";

export { Body, type Call, type Route } from "./route";

export const routes: readonly Route[] = [
  ...accountRoutes,
  ...vpcRoutes,
  ...tagRoutes,
  ...projectRoutes,
  ...dropletRoutes,
  ...dropletActionRoutes,
  ...volumeRoutes,
  ...reservedIpRoutes,
  ...firewallRoutes,
  ...domainRoutes,
];
