/** What every call of this SDK tells the engine. */
import pkg from "./package.json";

/** The plugin's version, with which the engine picks the plugin and writes it to the state. */
export function getVersion(): string {
  return pkg.version;
}

/** Options of every resource and call, under those that the program gives. */
export function resourceOptsDefaults(): { version: string } {
  return { version: getVersion() };
}
