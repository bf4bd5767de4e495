/**
 * @file Step 5: the provider plugins, official ones where they can be downloaded, else our own from plugins/.
 */
import { closeSync, existsSync, openSync, readdirSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { which } from "./files.mjs";
import { PLUGINS, ROOT } from "./paths.mjs";
import { CommandError, run } from "./process.mjs";

/**
 * Which plugins are there. Ours begin with a shell script; the official ones are programs.
 * @param {string} pulumiHome
 * @param {{name: string, version: string}} plugin
 * @returns {"official" | "ours" | "none"}
 */
export function installed(pulumiHome, { name, version }) {
  const folder = join(pulumiHome, "plugins", `resource-${name}-v${version}`);
  // Pulumi marks an installation that has not ended.
  if (!existsSync(folder) || existsSync(`${folder}.partial`)) return "none";
  const program = readdirSync(folder).find((file) => file.startsWith(`pulumi-resource-${name}`));
  if (!program) return "none";
  const head = Buffer.alloc(2);
  const file = openSync(join(folder, program), "r");
  readSync(file, head);
  closeSync(file);
  return head.toString() === "#!" || program.endsWith(".cmd") ? "ours" : "official";
}

/**
 * @param {import("./context.mjs").Context} context
 * @returns {Promise<string>} the way taken
 */
export async function ensureProviderPlugins(context) {
  const { at, env, step } = context;
  const home = env.PULUMI_HOME || at.pulumiHome;
  const states = PLUGINS.map((plugin) => installed(home, plugin));
  const names = PLUGINS.map(({ name, version }) => `${name} ${version}`).join(", ");
  if (states.every((state) => state === "official")) return `official ${names}, there before`;
  if (!states.includes("ours") && (await officialReachable())) {
    try {
      for (const plugin of PLUGINS) {
        if (installed(home, plugin) === "official") continue;
        step.note(`pulumi plugin install resource ${plugin.name} ${plugin.version}`);
        const args = ["plugin", "install", "resource", plugin.name, plugin.version];
        await run("pulumi", args, { env, onLine: step.line, deadlineMs: 300_000 });
      }
      return `official ${names}, downloaded`;
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      step.note(`no official plugins (${error.message})`);
      for (const { name, version } of PLUGINS) {
        rmSync(join(home, "plugins", `resource-${name}-v${version}.partial`), { force: true });
      }
    }
  }
  step.note("Berth's own plugins");
  const { ensurePlugins } = await import(`file://${join(ROOT, "scripts/plugins.mjs")}`);
  const pulumi = which("pulumi", env) ?? "pulumi";
  /** @type {{way: string}[]} */
  const done = await ensurePlugins({ cacheDir: at.cache, pulumi, log: step.line, home });
  return `our own ${names}, ${done.every(({ way }) => way === "already") ? "there before" : "made from plugins/"}`;
}

/** Whether get.pulumi.com can be reached within 5 s. */
function officialReachable() {
  return new Promise((resolve) => {
    const socket = connect({ host: "get.pulumi.com", port: 443, servername: "get.pulumi.com" });
    const end = (/** @type {boolean} */ answer) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => end(false), 5_000);
    socket.on("secureConnect", () => end(true)).on("error", () => end(false));
  });
}
