import * as docker from "@pulumi/docker";
import type * as pulumi from "@pulumi/pulumi";
import { type ContainerSpec, dockerArgs } from "../core/containers";
import { type Transform, transformed } from "./transform";

/** A container of the stack's: its texts may be known later. */
export type Spec = ContainerSpec<pulumi.Input<string>, pulumi.Input<string[]>>;

/** What is the resource's, and not the container's. */
type Own = Pick<
  docker.ContainerArgs,
  "destroyGraceSeconds" | "devices" | "mustRun" | "stopSignal" | "tmpfs" | "uploads"
>;

/**
 * Makes a container of the stack's. It runs unless `own` says otherwise. Its name and ports are fixed, so a replaced one
 * goes before the new one comes.
 */
export const container = (
  name: string,
  spec: Spec,
  own: Own,
  opts: pulumi.CustomResourceOptions,
  transform?: Transform<docker.ContainerArgs>,
) =>
  new docker.Container(
    ...transformed(
      transform,
      name,
      { ...dockerArgs(spec), mustRun: true, ...own },
      { deleteBeforeReplace: true, ...opts },
    ),
  );
