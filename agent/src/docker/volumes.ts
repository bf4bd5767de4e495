/** The volumes of a node. */
import { DockerError } from "./errors";
import type { Transport } from "./transport";

/**
 * Removes a volume with what is in it. One that is gone is fine.
 *
 * @returns false: a container has it, and it stays
 */
export async function removeVolume(transport: Transport, name: string): Promise<boolean> {
  try {
    await transport.call(`remove volume ${name}`, {
      method: "DELETE",
      path: `/volumes/${encodeURIComponent(name)}`,
      fine: [204, 404],
      deadlineMs: transport.deadlines.remove,
    });
    return true;
  } catch (error) {
    if (error instanceof DockerError && error.status === 409) return false;
    throw error;
  }
}
