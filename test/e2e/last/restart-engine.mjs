/**
 * @file Restarts the container engine of this computer, for the last test of the cluster. BERTH_HOME: the one whose record
 * names the engine.
 */
import { restartEngine } from "../../../scripts/lib/docker.mjs";
import { places } from "../../../scripts/lib/paths.mjs";
import { inStep, newContext } from "../../../scripts/lib/setup.mjs";
import { Ui } from "../../../scripts/lib/ui.mjs";

const context = newContext(new Ui({ logs: places().logs, name: "restart", total: 1 }));
await inStep(context, "Container engine", async (now) => {
  await restartEngine(now);
  return { way: "restarted", value: undefined };
});
