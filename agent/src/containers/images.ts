/** Of which image a container is made, and of which ones a person may make one. */
import { type Result, refuse } from "../../../core/gpu";
import { IMAGE } from "../../../core/names";
import type { CreatorOptions } from "./options";
import { noImage, notAllowedImage, noWorkspace } from "./refusals";
import type { CreateRequest } from "./request";

/**
 * The image of a new container, which is on this node. A person may have that of their workspace, those that parts of Berth on
 * the node are of, and those that the operator allows.
 *
 * @param person whether a person asks, for themselves
 * @throws DockerError
 */
export async function imageFor(
  { user, image }: Pick<CreateRequest, "user" | "image">,
  person: boolean,
  { containers, engine, images }: Pick<CreatorOptions, "containers" | "engine" | "images">,
): Promise<Result<string>> {
  const workspace = containers.list(user).find(({ kind }) => kind === "workspace");
  const wanted = image ?? workspace?.image;
  if (wanted === undefined) return refuse(noWorkspace(user));
  const id = await engine.imageId(wanted);
  if (person) {
    const own = containers.list().filter(({ kind }) => kind === "own");
    const theirs = workspace === undefined ? own : [workspace, ...own];
    // What a tag names may change.
    const brought = theirs.map((one) => one.image).filter((reference) => IMAGE.test(reference));
    const allowed = [...new Set([...brought, ...(images?.() ?? [])])];
    // One of these by another name. Whether others are on the node is not told.
    const same = async () => {
      const ids = await Promise.all(allowed.map((reference) => engine.imageId(reference)));
      return id !== undefined && ids.includes(id);
    };
    if (!allowed.includes(wanted) && !(await same())) return refuse(notAllowedImage(wanted, allowed));
  }
  return id === undefined ? refuse(noImage(wanted)) : { ok: true, value: wanted };
}
