import type { FastifyInstance } from "fastify";
import type { RouteContext } from "../types";
import { addContainers } from "./containers";
import { addDeclared } from "./declared";
import { addEvents } from "./events";
import { addGpus } from "./gpus";
import { addGrants } from "./grants";
import { addLimits } from "./limits";
import { addNode } from "./node";
import { addTickets } from "./tickets";
import { addTokens } from "./tokens";

/** Adds the routes of one area. */
export type Area = (fastify: FastifyInstance, context: RouteContext) => void;

export const areas: readonly Area[] = [
  addNode,
  addGpus,
  addGrants,
  addLimits,
  addDeclared,
  addContainers,
  addEvents,
  addTokens,
  addTickets,
];
