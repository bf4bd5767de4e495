import pino, { type Logger } from "pino";

export type { Logger };

/** Paths in a log line whose values are never written. */
const secrets = [
  "token",
  "secret",
  "authorization",
  "*.token_secret",
  "*.authorization",
  "req.headers",
  "headers",
  "headers.authorization",
];

/**
 * berthd's log: JSON lines on stdout, which systemd's journal keeps. Bearer tokens and headers never get in.
 * @param level `BERTH_LOG_LEVEL`; default `info`
 */
export function makeLog(level: string = process.env.BERTH_LOG_LEVEL ?? "info"): Logger {
  const known = ["fatal", "error", "warn", "info", "debug", "trace", "silent"];
  return pino(
    {
      level: known.includes(level) ? level : "info",
      base: { program: "berthd", pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secrets, censor: "[secret]" },
    },
    // Written at once: the last lines before an end are those that matter.
    pino.destination({ dest: 1, sync: true }),
  );
}
