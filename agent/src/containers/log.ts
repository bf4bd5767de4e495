import { DockerError } from "../docker";

/** The part of a pino logger that is used. */
export interface Log {
  info(data: object, message: string): void;
  warn(data: object, message: string): void;
}

/** An error as the log has it: dockerd's own words, or what went wrong here with its kind. */
export function forLog(error: unknown): string {
  if (error instanceof DockerError) return error.message;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
