/** Changing a droplet in place, in the official plugin's order. */
import { type Props, ProviderError } from "@berth/plugin-base";
import { bool, str, strings } from "@berth/plugin-base/bridged";
import { changed, setTags, type Work } from "../resource";
import { move } from "../volume/attachment";
import { type ApiDroplet, policyBody } from "./map";
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
  await updateBackups(id, news, work, differs);
  if (differs("privateNetworking") && bool(news, "privateNetworking") === true) {
    await enable(id, "private_networking", "enable_private_networking", work);
  }
  if (differs("ipv6") && bool(news, "ipv6") === true) {
    await enable(id, "ipv6", "enable_ipv6", work);
    work.warn(
      `droplet ${id}: IPv6 is on; its system must be told so too: ` +
        "https://docs.digitalocean.com/products/networking/ipv6/how-to/enable/#on-existing-droplets",
    );
  }
  if (differs("tags")) await setTags(work, "droplet", id, olds, news);
  if (differs("volumeIds")) await updateVolumes(id, olds, news, work);
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

async function updateBackups(
  id: string,
  news: Props,
  work: Work,
  differs: (key: string) => boolean,
): Promise<void> {
  const [on, policy] = [bool(news, "backups") === true, policyBody(news)];
  if (differs("backups")) {
    const type = on ? "enable_backups" : "disable_backups";
    const body = on && policy !== undefined ? { type, backup_policy: policy } : { type };
    await act(`${on ? "turn on" : "turn off"} backups of droplet ${id}`, id, body, work);
  } else if (differs("backupPolicy") && policy !== undefined) {
    await act(
      `change the backup policy of droplet ${id}`,
      id,
      { type: "change_backup_policy", backup_policy: policy },
      work,
    );
  }
}

async function enable(id: string, feature: string, type: string, work: Work): Promise<void> {
  const what = `enable ${feature} on droplet ${id}`;
  await start(what, id, { type }, work);
  const wanted = ({ features }: ApiDroplet): boolean => features?.includes(feature) ?? false;
  await dropletIs(what, id, work, work.deadline(UPDATE_MS), wanted);
}

async function updateVolumes(id: string, olds: Props, news: Props, work: Work): Promise<void> {
  const [before, after] = [strings(olds, "volumeIds") ?? [], strings(news, "volumeIds") ?? []];
  const dropletId = Number(id);
  for (const volumeId of after.filter((volume) => !before.includes(volume))) {
    await move("attach", { dropletId, volumeId }, work);
  }
  for (const volumeId of before.filter((volume) => !after.includes(volume))) {
    await move("detach", { dropletId, volumeId }, work);
  }
}
