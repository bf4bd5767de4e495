/** Brings an image from its registry. */
import { type ImageName, imageText } from "../../../core/manager";
import { DockerError, garbage } from "./errors";
import { LineCutter } from "./lines";
import type { Transport } from "./transport";

/**
 * Returns once the image is on the node. dockerd says that it failed in the stream of its progress.
 *
 * @throws DockerError also where the registry has none, or cannot be reached
 */
export async function pullImage(
  transport: Transport,
  image: ImageName,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { registry, path, tag, digest } = image;
  const what = `bring image ${imageText(image)}`;
  const late = AbortSignal.timeout(transport.deadlines.write);
  const progress = await transport.call<AsyncIterable<Buffer>>(what, {
    method: "POST",
    path: "/images/create",
    query: { fromImage: `${registry}/${path}`, tag: digest ?? tag ?? "latest" },
    fine: [200],
    stream: true,
    deadlineMs: transport.deadlines.write,
    signal: signal === undefined ? late : AbortSignal.any([signal, late]),
  });
  const cutter = new LineCutter();
  for await (const bytes of progress) for (const { line } of cutter.push(bytes)) look(what, line);
  for (const { line } of cutter.rest()) look(what, line);
}

function look(what: string, line: string): void {
  if (line.trim() === "") return;
  let step: { error?: unknown } | null;
  try {
    step = JSON.parse(line) as { error?: unknown } | null;
  } catch (error) {
    throw garbage(what, (error as Error).message);
  }
  if (typeof step?.error === "string")
    throw new DockerError(`${what}: ${step.error.slice(0, 500)}`, "refused", 404);
}
