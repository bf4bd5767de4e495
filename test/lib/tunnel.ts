/** @file Ports of a machine on this computer, by an `ssh` that lives as long as a test needs it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { MINUTE, SECOND } from "./time";
import { until } from "./until";

/** Whether a TCP port connects within 3 s. */
export const connects = (host: string, port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect({ host, port, timeout: 3 * SECOND });
    const end = (open: boolean) => () => {
      socket.destroy();
      resolve(open);
    };
    socket.on("connect", end(true)).on("timeout", end(false)).on("error", end(false));
  });

/**
 * Does `work` while `ssh` runs.
 * @param args of an `ssh -N` that forwards
 * @param ports of this computer's loopback, which it forwards
 */
export async function throughSsh<T>(
  args: readonly string[],
  ports: readonly number[],
  work: () => Promise<T>,
): Promise<T> {
  const child = spawn("ssh", args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (part: string) => {
    said += part;
  });
  const ended = once(child, "exit");
  try {
    await until("the forwarded ports", MINUTE, async () => {
      if (child.exitCode !== null) throw new Error(`ssh ended with ${child.exitCode}: ${said}`);
      return (await Promise.all(ports.map((port) => connects("127.0.0.1", port)))).every(Boolean);
    });
    return await work();
  } finally {
    child.kill();
    await ended;
  }
}
