/**
 * Serves a plugin. `@pulumi/pulumi/provider` has a server too, but no preview of creates and updates, no
 * configuration, no detailed diffs, no time-outs, and it prints errors with their values; hence this one,
 * over the same generated protocol modules.
 */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { ResourceProviderService } from "@pulumi/pulumi/proto/provider_grpc_pb";
import { Calls } from "./calls";
import { CHANNEL_OPTIONS, EngineLog } from "./engine-log";
import { closeAll } from "./leaving";
import { serviceOf } from "./service";
import type { ProviderSpec } from "./types";

export { ProviderError } from "./calls";

/** Running calls have this long to end what they started before the process does. */
const GOODBYE_MS = 4_000;
/** How often a plugin looks whether its engine is still there. */
const PARENT_CHECK_MS = 2_000;

/**
 * Serves a plugin on a loopback port, which is printed on stdout as the engine expects, until the engine
 * ends the process, or is gone itself.
 */
export async function serve(spec: ProviderSpec): Promise<void> {
  const log = new EngineLog();
  log.connect(process.argv.slice(2).find((word) => /:\d+$/.test(word)));
  const calls = new Calls((severity, urn, message, ephemeral) =>
    log.write(severity, urn, message, ephemeral),
  );
  const server = new Server(CHANNEL_OPTIONS);
  server.addService(
    ResourceProviderService,
    serviceOf(spec, calls, { attach: (address) => log.connect(address), cancel: () => calls.cancel() }),
  );

  let leaving = false;
  const leave = async (): Promise<void> => {
    if (leaving) return;
    leaving = true;
    calls.cancel();
    const end = Date.now() + GOODBYE_MS;
    while (calls.size > 0 && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 50));
    setTimeout(() => process.exit(0), 2_000).unref();
    await Promise.allSettled([closeAll(), spec.close?.()]);
    // Answers that were just given are still on their way out.
    server.tryShutdown(() => process.exit(0));
    setTimeout(() => process.exit(0), 500).unref();
  };
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => void leave());
  // An engine that was killed leaves its plugins to init; remote commands must not outlive it.
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) void leave();
  }, PARENT_CHECK_MS).unref();
  // One that was killed before this process looked for its parent reads no port any more.
  process.stdout.on("error", () => void leave());
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (error: unknown) => {
      // Only the kind and the place: a message might quote a value.
      const place = error instanceof Error ? /\n\s+(at .*)/.exec(error.stack ?? "")?.[1] : undefined;
      const name = error instanceof Error ? error.name : typeof error;
      log.write(
        "error",
        "",
        `plugin ${spec.name}: unexpected ${name} ${place ?? ""}; please report it`,
        false,
      );
    });
  }

  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  process.stdout.write(`${port}\n`);
}
