import * as pulumi from "@pulumi/pulumi";
import { Cluster } from "./components/cluster";
import { checkRoom } from "./components/local-room";
import { stackFiles } from "./components/secrets";
import { checkKinds } from "./components/stack-files";
import { validateSetup } from "./components/workspace/setup";
import { ConfigError, loadConfig } from "./config";

/** Reads the stack's configuration; everything wrong with it ends the run here, before any resource exists. */
async function configured() {
  try {
    const placeholders = pulumi.runtime.isDryRun() ? "allow" : "refuse";
    const loaded = loadConfig(pulumi.getStack(), pulumi.runtime.allConfig(), validateSetup, { placeholders });
    checkKinds(loaded.plan, stackFiles(loaded.plan.stack).folder);
    await checkRoom(loaded.plan, pulumi.runtime.isDryRun());
    return loaded;
  } catch (error) {
    // The message is for people; a stack trace would bury it.
    if (error instanceof ConfigError) throw new pulumi.RunError(error.message);
    throw error;
  }
}

/** A function, as what it makes takes its stack trace along: the loader's frames are not in it then. */
export = async () => {
  const { plan, secrets, cautions } = await configured();
  for (const caution of cautions) pulumi.log.warn(caution);
  const { nodes, users, ray, managers, tenantTokens, credentials } = new Cluster("berth", { plan, secrets });
  const outputs = { nodes, users, ray, managers, tenantTokens, credentials };
  // Pulumi warns of an output that is none.
  return Object.fromEntries(Object.entries(outputs).filter(([, value]) => value !== undefined));
};
