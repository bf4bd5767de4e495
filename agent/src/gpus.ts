import { join } from "node:path";
import {
  fakePaths,
  fileLog,
  fileMemory,
  InventoryWatch,
  journalLog,
  NvidiaSmi,
  readDeclared,
} from "./inventory";
import type { Logger } from "./log";
import type { AgentPaths } from "./paths";
import type { InventoryPort } from "./service";
import { type Watch, watchedInventory } from "./service/inventory";

/**
 * The GPUs of this node: those that its driver tells of or, where `gpus.json` is, those that the stack declares, by the
 * stand-in for nvidia-smi that the stack put there.
 * @throws Error when gpus.json is not usable
 */
export function openInventory(paths: AgentPaths, log: Logger): InventoryPort & { readonly watch: Watch } {
  const declared = readDeclared(paths.gpusFile);
  const stand = fakePaths(paths.root);
  const smi = declared ? new NvidiaSmi({ command: stand.command, source: "declared" }) : new NvidiaSmi();
  return watchedInventory((onChange) => {
    const watch = new InventoryWatch({
      read: (known) => smi.read(known),
      onChange,
      onError: (error) => log.error({ err: error }, "the look at the GPUs failed"),
      kernelLog: declared ? fileLog(stand.kernelLog) : journalLog(),
      memory: fileMemory(join(paths.stateFolder, "gpus.seen.json")),
    });
    watch.settle(declared?.gpus.map(({ uuid }) => uuid));
    return watch;
  });
}
