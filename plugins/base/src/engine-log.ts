/** Lines for the console of `pulumi up`, sent over the engine's own service. */
import { Client, credentials } from "@grpc/grpc-js";
import { EngineClient } from "@pulumi/pulumi/proto/engine_grpc_pb";
import engine from "@pulumi/pulumi/proto/engine_pb";
import type { Severity } from "./types";

const LEVELS: Record<Severity, number> = {
  debug: engine.LogSeverity.DEBUG,
  info: engine.LogSeverity.INFO,
  warning: engine.LogSeverity.WARNING,
  error: engine.LogSeverity.ERROR,
};

/** gRPC's own limit of 4 MB is too little for one chatty command. */
export const CHANNEL_OPTIONS = {
  "grpc.max_receive_message_length": 400 * 1024 * 1024,
  "grpc.max_send_message_length": 400 * 1024 * 1024,
};

export class EngineLog {
  private client: EngineClient | undefined;

  /** `host:port` of the engine; undefined before it has attached: then lines are dropped. */
  connect(address: string | undefined): void {
    this.client?.close();
    this.client =
      address === undefined
        ? undefined
        : new EngineClient(address, credentials.createInsecure(), CHANNEL_OPTIONS);
  }

  write(severity: Severity, urn: string, message: string, ephemeral: boolean): void {
    if (this.client === undefined) return;
    const request = new engine.LogRequest();
    request.setSeverity(LEVELS[severity] as never);
    request.setUrn(urn);
    request.setMessage(message);
    request.setEphemeral(ephemeral);
    // A lost line is no reason to fail what it tells about.
    this.client.log(request, () => {});
  }

  close(): void {
    if (this.client !== undefined) Client.prototype.close.call(this.client);
    this.client = undefined;
  }
}
