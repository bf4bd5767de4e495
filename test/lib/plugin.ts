/** A bundled plugin as the engine meets it: one process, the protocol over a socket. */
import { type ChildProcess, spawn } from "node:child_process";
import { resolve } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { ResourceProviderClient } from "@pulumi/pulumi/proto/provider_grpc_pb";

export interface Plugin {
  version: string;
  child: ChildProcess;
  client: ResourceProviderClient;
}

/** Builds the plugin and starts it with little in its environment, from a folder that has nothing of it. */
export async function startPlugin(name: string): Promise<Plugin> {
  const { buildPlugin } = await import("../../scripts/plugins.mjs");
  const { version } = await buildPlugin(name);
  const program = resolve(__dirname, "../../dist", name, `pulumi-resource-${name}`);
  const env = { PATH: "/usr/bin:/bin", BERTH_NODE: process.execPath };
  const child = spawn(program, [], { env, cwd: "/" });
  const port = await new Promise<string>((done, failed) => {
    child.stdout.once("data", (chunk: Buffer) => done(chunk.toString().trim()));
    child.once("exit", (code) => failed(new Error(`the plugin ended with ${code}`)));
  });
  const client = new ResourceProviderClient(`127.0.0.1:${port}`, credentials.createInsecure());
  return { version, child, client };
}
