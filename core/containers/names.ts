import { createHash } from "node:crypto";

/** Names of what a stack makes, on Docker engines and in cloud accounts. Pure. */

/** The longest name of a container that Berth makes, in characters. */
export const MAX_CONTAINER_NAME = 200;

/** DigitalOcean's limit on a volume's name. */
const VOLUME_NAME = 64;

/** `berth-<stack>-<part>-…`, lower case. */
export function physicalName(stack: string, ...parts: string[]): string {
  return ["berth", stack, ...parts].join("-").toLowerCase();
}

/** The container of a user's workspace. */
export const workspaceName = (stack: string, user: string) => physicalName(stack, "workspace", user);

/**
 * A container that berthd makes: `berth-<stack>-<user>.<name>`. Neither part may hold a dot, and no other name of a stack has
 * one behind the stack's, so two people's containers never have one name.
 */
export const createdName = (stack: string, user: string, name: string) =>
  physicalName(stack, `${user}.${name}`);

/**
 * A volume's name in the account, which the machine shows as the disk's serial number: `berth-<stack>-<name>`. A name
 * longer than 64 characters is cut and ends in a hash of the whole.
 */
export function volumeName(stack: string, name: string): string {
  const whole = physicalName(stack, name);
  if (whole.length <= VOLUME_NAME) return whole;
  const hash = createHash("sha256").update(whole).digest("hex").slice(0, 8);
  return `${whole.slice(0, VOLUME_NAME - 9)}-${hash}`;
}
