/** The NFS server: version 4 alone, one port (2049), its exports in a file of our own. Pure. */
import { scriptsOf } from "../script";
import { heredoc, quote, quoteAll } from "../shell";
import type { StageStep } from "../stage";
import type { StoragePlan } from "./spec";

const script = scriptsOf(__dirname);

/** Lines of exports(5), one path each. */
export function exportsFile(exports: StoragePlan["exports"]): string {
  return exports
    .map(
      ({ path, clients, options }) =>
        `${path} ${clients.map((client) => `${client}(${options})`).join(" ")}\n`,
    )
    .join("");
}

export function nfsServerStep(plan: StoragePlan): StageStep {
  const paths = plan.exports.map(({ path }) => path);
  const body =
    paths.length > 0
      ? `exports=(${quoteAll(paths)})
cat >"$work/exports" ${heredoc(exportsFile(plan.exports))}
${script("nfs-on.sh")}`
      : script("nfs-off.sh");
  return { name: "NFS exports", body: `${body}\nfact_json exports ${quote(JSON.stringify(paths))}` };
}
