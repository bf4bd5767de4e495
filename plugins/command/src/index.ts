/**
 * The `command` plugin: the resources of the official one that Berth uses, with its type tokens, names,
 * defaults and rules, over one SSH connection per host. `main.ts` serves it.
 */
import type { ProviderSpec } from "@berth/plugin-base";
import { localCommand } from "./local-command";
import { remoteCommand } from "./remote-command";

/** The SDK's version: state changes hands between this plugin and the official one of that version. */
export const version = "1.2.1";

export const commandProvider: ProviderSpec = {
  name: "command",
  version,
  resources: {
    "command:remote:Command": remoteCommand(),
    "command:local:Command": localCommand(),
  },
};
