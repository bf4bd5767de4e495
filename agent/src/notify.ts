import { sendDatagram } from "./libc";

/** How berthd tells systemd how it is; does nothing where systemd did not start it. */
export interface Notifier {
  ready(status: string): void;
  status(text: string): void;
  stopping(): void;
  close(): void;
}

/**
 * Speaks sd_notify over `NOTIFY_SOCKET`. When the unit has a watchdog (`WATCHDOG_USEC`), a sign of life goes out every
 * third of its time, as long as `alive` says so: the timer runs in the event loop that serves requests, so a loop that
 * hangs is silent, and systemd starts berthd anew.
 */
export function notifier(
  env: NodeJS.ProcessEnv,
  alive: () => boolean,
  onError: (error: Error) => void,
): Notifier {
  const socket = env.NOTIFY_SOCKET;
  if (!socket) return { ready: () => {}, status: () => {}, stopping: () => {}, close: () => {} };
  // Not for programs that we start.
  delete env.NOTIFY_SOCKET;
  const send = (text: string) => {
    try {
      sendDatagram(socket, text);
    } catch (error) {
      onError(error as Error);
    }
  };
  const forUs = !env.WATCHDOG_PID || env.WATCHDOG_PID === String(process.pid);
  const usec = forUs ? Number(env.WATCHDOG_USEC) : 0;
  const timer =
    usec > 0
      ? setInterval(() => {
          if (alive()) send("WATCHDOG=1");
        }, usec / 3000).unref()
      : undefined;
  const line = (text: string) => text.replace(/\n/g, " ");
  return {
    ready: (status) => send(`READY=1\nSTATUS=${line(status)}\n${usec > 0 ? "WATCHDOG=1" : ""}`.trimEnd()),
    status: (text) => send(`STATUS=${line(text)}`),
    stopping: () => send("STOPPING=1"),
    close: () => clearInterval(timer),
  };
}
