import type { FastifyInstance } from "fastify";
import type { RouteContext } from "../types";
import { addContainers } from "./containers";
import { addDeclared } from "./declared";
import { addGpus } from "./gpus";
import { addGrants } from "./grants";
import { addLimits } from "./limits";
import { addNode } from "./node";
import { addTokens } from "./tokens";

/** Every route of the API, area by area. */
export function addAreas(fastify: FastifyInstance, context: RouteContext): void {
  for (const add of [addNode, addGpus, addGrants, addLimits, addDeclared, addTokens, addContainers]) {
    add(fastify, context);
  }
}
