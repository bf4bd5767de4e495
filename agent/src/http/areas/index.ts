import type { FastifyInstance } from "fastify";
import type { RouteContext } from "../types";
import { addCapacity } from "./capacity";
import { addContainers } from "./containers";
import { addDeclared } from "./declared";
import { addEvents } from "./events";
import { addExec } from "./exec";
import { addGpus } from "./gpus";
import { addGrants } from "./grants";
import { addImages } from "./images";
import { addLimits } from "./limits";
import { addLogs } from "./logs";
import { addManaged } from "./managed";
import { addNode } from "./node";
import { addPool } from "./pool";
import { addSetup } from "./setup";
import { addTerminal } from "./terminal";
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
  addSetup,
  addExec,
  addTerminal,
  addLogs,
  addPool,
  addCapacity,
  addImages,
  addEvents,
  addTokens,
  addTickets,
];
