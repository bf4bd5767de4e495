/** Steps of the preflight, run by bash beside stand-ins for the tools that look at a server. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import { type PreflightOptions, renderPreflight } from "../../components/host/preflight";
import { helpers, VERDICT } from "../../components/host/retire/looks";
import { renderStage, stageBody } from "../../components/host/stage";
import { standIns } from "../lib/host-scripts";

/** To be called in a `describe`: a folder of its own for each of its tests. */
export function lookMachine() {
  let folder = "";
  const stand = standIns(() => folder);
  const { at, tool } = stand;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "berth-preflight-"));
    mkdirSync(join(folder, "bin"));
    mkdirSync(join(folder, "seen"));
    for (const name of ["ufw", "docker", "nft", "iptables", "ip6tables", "systemctl"]) tool(name, "exit 1");
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs steps, and keeps the files that they leave for one another, which `seen` reads. */
  const look = (...bodies: string[]) => {
    const command = renderStage({
      name: "preflight",
      node: "gpu-1",
      paths: { logs: at("log"), state: at("state"), lock: at("lock") },
      steps: [
        { name: "path", body: `: >"$work/problems"\n: >"$work/will"` },
        ...bodies.map((body, i) => ({
          name: `step ${i}`,
          body: `PATH=${at("bin")}:$PATH\n${helpers}\n${body}\ncp -r -- "$work"/. ${at("seen")}`,
        })),
        { name: "verdict", body: VERDICT },
      ],
    });
    const ran = spawnSync("sh", ["-c", command], { encoding: "utf8" });
    const facts =
      ran.status === 0
        ? (JSON.parse(ran.stdout.slice("BERTH_FACTS ".length)) as Record<string, unknown>)
        : {};
    return { ...ran, facts };
  };
  const seen = (name: string) => readFileSync(at(`seen/${name}`), "utf8");
  return { ...stand, look, seen };
}

/** The whole preflight's script, of a stack that asks for as little as can be. */
export function preflightBody(more: Partial<PreflightOptions> = {}): string {
  return stageBody(
    renderPreflight({
      ...{ node: "n", stack: "lab", privateAddress: "10.0.0.7", ports: [] },
      firewall: { allowSsh: ["::/0"], allowUsers: [], userPorts: [], clusterAddresses: [], clusterPorts: [] },
      ...more,
    }),
  );
}
