/** A node's firewall script with its rules, taken out of the stage, so that it runs in a folder of a test's own. */
import { chmodSync, writeFileSync } from "node:fs";
import { type FirewallOptions, renderFirewall } from "../../components/host/firewall";
import { stageBody } from "../../components/host/stage";

/**
 * Writes `apply` with its rules in `etc`; what it remembers goes to `var`, and programs of `bin` come first.
 *
 * @param at a path in the folder
 * @param keep families whose forwarding goes on as it was
 */
export function placeFirewall(
  options: FirewallOptions & { node: string },
  at: (path: string) => string,
  keep: readonly (4 | 6)[] = [],
): void {
  const body = stageBody(renderFirewall(options));
  const file = (path: string) =>
    new RegExp(`^place \\d+ ${path} firewall <<'(\\w+)'\\n([\\s\\S]*?\\n)\\1$`, "m").exec(body)?.[2] ?? "";
  for (const name of ["v4.rules", "v6.rules"])
    writeFileSync(at(`etc/${name}`), file(`/etc/berth/firewall/${name}`));
  writeFileSync(at("etc/forward"), keep.map((family) => `${family}\n`).join(""));
  const script = file("/usr/local/lib/berth/firewall")
    .replaceAll("/etc/berth/firewall", at("etc"))
    .replaceAll("/etc/systemd/system/do-agent", at("do-agent"))
    .replaceAll("/var/lib/berth", at("var"))
    .replaceAll("PATH=/usr/local/sbin", `PATH=${at("bin")}:/usr/local/sbin`);
  writeFileSync(at("apply"), script);
  chmodSync(at("apply"), 0o755);
}
