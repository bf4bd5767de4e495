/** One API for each test, and calls to it. */
import { afterEach, expect } from "vitest";
import { type Api, type ApiOptions, startApi } from "..";

export const never = Number.POSITIVE_INFINITY;
/** A key in form only: its 32 bytes count from 0 to 31. */
export const publicKey =
  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f one";
/** The least that makes a droplet. */
export const plain = { name: "node-1", region: "fra1", size: "s-2vcpu-4gb", image: "debian-13-x64" };

/** The API of the test that runs. */
export let api: Api | undefined;
export const start = async (options: ApiOptions = {}): Promise<Api> => {
  api = await startApi({ delay: 0, ...options });
  return api;
};

/** Closes `api` after each test of the file that calls this. */
export function closeApis(): void {
  // `close` rejects where a request or an answer was not as described: each test checks that too.
  afterEach(async () => {
    const done = api;
    api = undefined;
    await done?.close();
  });
}

interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: JSON, checked by what the tests expect of it
  body: any;
}

export async function call(method: string, path: string, body?: object, token = api?.token): Promise<Answer> {
  const url = path.startsWith("http") ? path : `${api?.url}/v2${path}`;
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text === "" ? undefined : JSON.parse(text),
  };
}

/** A call that must succeed with this status; gives its body. */
export async function ok(status: number, method: string, path: string, body?: object) {
  const answer = await call(method, path, body);
  expect({ path, status: answer.status, body: answer.status < 400 ? "" : answer.body }).toEqual({
    path,
    status,
    body: "",
  });
  return answer.body;
}

export async function refused(status: number, method: string, path: string, body?: object): Promise<string> {
  const answer = await call(method, path, body);
  expect({ path, status: answer.status }).toEqual({ path, status });
  expect(answer.body.request_id).toMatch(/^e{8}-/);
  return answer.body.message;
}
