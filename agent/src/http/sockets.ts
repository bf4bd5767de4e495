import { existsSync, lstatSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import { connect } from "node:net";

/** Resolves once it listens. @throws what keeps it from that */
export function listening(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      resolve();
    });
    listen();
  });
}

/** Removes a socket that nobody listens on any more. Throws when somebody does, or when it is no socket. */
export async function removeStale(path: string): Promise<void> {
  if (Buffer.byteLength(path) > 107) {
    throw new Error(`The path of the socket ${path} has more than 107 bytes, the most that Linux takes.`);
  }
  if (!existsSync(path) && !isLink(path)) return;
  if (!lstatSync(path).isSocket()) {
    throw new Error(
      `${path} is there and is no socket. Nothing was touched; move it away, then start berthd.`,
    );
  }
  const answers = await new Promise<boolean>((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
  if (answers) throw new Error(`Another program listens on ${path}. Stop it first: ss -xlp | grep berth`);
  rmSync(path, { force: true });
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false;
  }
}
