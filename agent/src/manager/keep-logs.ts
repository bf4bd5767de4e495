/** The logs of the manager's containers begin and end as its rows do. */
import type { Log } from "../containers";
import type { ManagedRow } from "../store";
import type { Logs } from "./ports";

/** @returns is to be told of each row that was written; throws nothing, as others are told in the same turn */
export function keepLogs({ logs, log }: { logs?: Logs; log: Log }): (row: ManagedRow) => void {
  const act = async ({ id, owner, state }: ManagedRow): Promise<void> => {
    if (state === "gone") await logs?.end(id);
    else logs?.open(id, owner);
  };
  return (row) => {
    act(row).catch((error: Error) => {
      log.warn(
        { managed: row.id, error: error.message },
        "the log of a container is not kept as it should be",
      );
    });
  };
}
