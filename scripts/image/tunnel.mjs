/**
 * @file A port of this computer's loopback that leads to a port of another machine, over SSH.
 */
import { createServer } from "node:net";
import { throwIfInterrupted } from "../lib/process.mjs";
import { showTarget, sshTo } from "../lib/ssh.mjs";
import { start } from "./child.mjs";

/** From the call to the open tunnel: through a jump host, to a busy machine. */
const OPEN_MS = 60_000;
/** Another process may take the free port in the moment before ssh does. */
const TRIES = 5;
const OPEN = "berth-tunnel-is-open";

/**
 * @typedef {object} Tunnel
 * @property {number} port on 127.0.0.1
 * @property {() => string | undefined} broken why it has ended by itself; undefined while it is open
 * @property {() => Promise<void>} close
 */

/**
 * Opens a tunnel. It lives as long as this process at most, even if that is killed: the remote command waits for
 * the end of its input, which is held open here.
 * @param {import("../lib/ssh.mjs").SshTarget} target
 * @param {string[]} options see readSshOptions
 * @param {string} remote `HOST:PORT` as the other machine knows it
 * @returns {Promise<Tunnel>}
 * @throws {Error} when the machine cannot be reached, or is not the one that is known
 */
export async function openTunnel(target, options, remote) {
  for (let tries = 1; ; tries++) {
    throwIfInterrupted();
    const port = await freePort();
    const args = sshTo(target, options, `127.0.0.1:${port}:${remote}`);
    const ssh = start("ssh", [...args, `echo ${OPEN}; exec cat`]);
    /** @type {string | undefined} */
    let broken;
    const ended = ssh.ended.then(({ problem }) => {
      broken = problem || "ssh ended";
      return "ended";
    });
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(() => resolve("late"), OPEN_MS);
    });
    const state = await Promise.race([ended, late, opened(ssh.stdout)]);
    clearTimeout(timer);
    if (state === "open") return { port, broken: () => broken, close: ssh.stop };
    await ssh.stop();
    throwIfInterrupted();
    if (tries < TRIES && /Address already in use|cannot listen to port/i.test(broken ?? "")) continue;
    const why = state === "late" ? `not open after ${OPEN_MS / 1000} s` : broken;
    throw new Error(`no SSH tunnel to ${showTarget(target)}: ${why}`);
  }
}

/**
 * @param {import("node:stream").Readable} stdout
 * @returns {Promise<"open">}
 */
function opened(stdout) {
  return new Promise((resolve) => {
    let text = "";
    stdout.setEncoding("utf8").on("data", (chunk) => {
      text = (text + chunk).slice(-10_000);
      if (text.includes(OPEN)) resolve("open");
    });
  });
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}
