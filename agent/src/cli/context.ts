/** What every command works with. */
import { Client, findSocket } from "./client";
import { exit } from "./failure";
import type { Io } from "./io";
import { asJson } from "./text";

export interface Context {
  io: Io;
  /** berthd; looked for when it is first needed, so that what needs none works without one. */
  client(): Client;
  /** Prints a result: the value itself with `--json`, else the text for people. */
  show(json: boolean | undefined, value: unknown, text: () => string): void;
  /** For a command that says all it has to say, and still does not end well. Default 0. */
  exitCode: number;
}

export function contextOf(io: Io): Context {
  let client: Client | undefined;
  return {
    io,
    client: () => {
      client ??= new Client(findSocket(io.env));
      return client;
    },
    exitCode: exit.ok,
    show: (json, value, text) => io.out(`${json ? asJson(value) : text()}\n`),
  };
}
