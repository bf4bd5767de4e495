/** The images of a node. */
import { DockerError, garbage, short, text } from "./errors";
import type { Transport } from "./transport";

/** As the API has it. */
export interface ImageSummary {
  Id: string;
  /** `node:24-slim`. */
  RepoTags?: string[] | null;
  /** `node@sha256:…`. */
  RepoDigests?: string[] | null;
  /** Seconds since the epoch. */
  Created: number;
  /** Bytes; layers that several images share count in each. */
  Size: number;
  Labels?: Record<string, string> | null;
}

export interface CommitOptions {
  /** `berth/main-1a2b`. */
  repository: string;
  tag: string;
  /** Beside the container's own, which the image has too. */
  labels?: Readonly<Record<string, string>>;
  /**
   * Lines of a Dockerfile: `ENV TOKEN=`. The image has all that the container was made with, its environment too; what is
   * secret there must be blanked here.
   */
  changes?: readonly string[];
}

/** The path of what is asked about an image; a name may have slashes. */
export const imagePath = (reference: string) =>
  `/images/${reference.split("/").map(encodeURIComponent).join("/")}`;

/** @param labels `key` or `key=value`; those that have all of them */
export async function listImages(
  transport: Transport,
  labels: readonly string[],
  signal: AbortSignal | undefined,
): Promise<ImageSummary[]> {
  const what = "list the images";
  const query = labels.length === 0 ? {} : { filters: JSON.stringify({ label: labels }) };
  const answer = await transport.read<unknown>(what, "/images/json", query, signal);
  if (!Array.isArray(answer)) throw garbage(what, "no list");
  for (const entry of answer) text((entry as Partial<ImageSummary> | null)?.Id, what, "Id");
  return answer as ImageSummary[];
}

/**
 * Takes away a name, and the image with its last name. One that is gone is fine.
 *
 * @returns false: a container has it, or another image is made from it, and it stays
 */
export async function removeImage(transport: Transport, reference: string): Promise<boolean> {
  try {
    await transport.call(`remove image ${reference}`, {
      method: "DELETE",
      path: imagePath(reference),
      fine: [200, 404],
      deadlineMs: transport.deadlines.remove,
    });
    return true;
  } catch (error) {
    if (error instanceof DockerError && error.status === 409) return false;
    throw error;
  }
}

/**
 * Makes an image of a container's files. The container stands still meanwhile; what is mounted into it is not in the image.
 *
 * @returns the image's id
 */
export async function commitContainer(
  transport: Transport,
  container: string,
  { repository, tag, labels = {}, changes = [] }: CommitOptions,
): Promise<string> {
  const what = `make an image of container ${short(container)}`;
  const answer = await transport.call<{ Id?: string } | undefined>(what, {
    method: "POST",
    path: "/commit",
    query: { container, repo: repository, tag, pause: true, changes },
    // What the API calls a container's configuration; it is laid over the container's own.
    body: { Labels: labels },
    fine: [201],
    deadlineMs: transport.deadlines.write,
  });
  return text(answer?.Id, what, "Id");
}
