/** @file HTTP as the tests ask it. */
import { SECOND } from "./time";

/** The status; redirects are not followed. */
export async function get(url: string, headers: Record<string, string> = {}): Promise<number> {
  const answer = await fetch(url, { headers, redirect: "manual", signal: AbortSignal.timeout(30 * SECOND) });
  await answer.arrayBuffer();
  return answer.status;
}

export const basic = (user: string, password: string) => ({
  Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
});
