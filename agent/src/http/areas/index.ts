import type { FastifyInstance } from "fastify";
import type { RouteContext } from "../types";
import { addCapacity } from "./capacity";
import { addContainers } from "./containers";
import { addDeclared } from "./declared";
import { addEvents } from "./events";
import { addGpus } from "./gpus";
import { addGrants } from "./grants";
import { addImages } from "./images";
import { addLimits } from "./limits";
import { addManaged } from "./managed";
import { addNode } from "./node";
import { addPool } from "./pool";
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
  addManaged,
  addPool,
  addCapacity,
  addImages,
  addEvents,
  addTokens,
  addTickets,
];
