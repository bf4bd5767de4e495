/** Changing a droplet in place, in the official plugin's order. */
import { type Props, ProviderError } from "@berth/plugin-base";
import { bool, str } from "@berth/plugin-base/bridged";
import { changed, setTags, type Work } from "../resource";
import type { ApiDroplet } from "./map";
import { dropletFields } from "./schema";
import { act, dropletIs, findDroplet, powerOff, powerOn, start } from "./wait";

const UPDATE_MS = 60 * 60_000;

export async function updateDroplet(id: string, olds: Props, news: Props, work: Work): Promise<ApiDroplet> {
  const differs = (key: string): boolean => changed(dropletFields, key, olds, news);
  const deadline = work.deadline(UPDATE_MS);
  // One that is in the state half made is waited for first.
  const made = ({ status }: ApiDroplet): boolean => status !== "new";
  await dropletIs(`wait until droplet ${id} is active`, id, work, deadline, made);
  if (differs("size")) await resize(id, news, work);
  if (differs("name")) {
    const [what, name] = [`rename droplet ${id}`, str(news, "name")];
    await start(what, id, { type: "rename", name }, work);
    await dropletIs(what, id, work, deadline, (droplet) => droplet.name === name);
  }
  if (differs("backups")) {
    const on = bool(news, "backups") === true;
    const body = { type: on ? "enable_backups" : "disable_backups" };
    await act(`turn ${on ? "on" : "off"} backups of droplet ${id}`, id, body, work);
  }
  if (differs("ipv6") && bool(news, "ipv6") === true) {
    const what = `enable ipv6 on droplet ${id}`;
    await start(what, id, { type: "enable_ipv6" }, work);
    await dropletIs(what, id, work, deadline, ({ features }) => features?.includes("ipv6") ?? false);
    work.warn(
      `droplet ${id}: IPv6 is on; its system must be told so too: ` +
        "https://docs.digitalocean.com/products/networking/ipv6/how-to/enable/#on-existing-droplets",
    );
  }
  if (differs("tags")) await setTags(work, "droplet", id, olds, news);
  const found = await findDroplet(id, work);
  if (found === undefined) throw new ProviderError(`droplet ${id} is gone; run pulumi refresh`);
  return found;
}

async function resize(id: string, news: Props, work: Work): Promise<void> {
  const deadline = work.deadline(UPDATE_MS);
  const size = str(news, "size")?.toLowerCase();
  await powerOff(id, work, deadline);
  try {
    const body = { type: "resize", size, disk: bool(news, "resizeDisk") ?? true };
    await act(`resize droplet ${id} to ${size}`, id, body, work);
  } catch (error) {
    // It was on before, and stays what it was.
    if (!work.signal.aborted) await powerOn(id, work, deadline);
    throw error;
  }
  await powerOn(id, work, deadline);
}
