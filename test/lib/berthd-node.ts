/** @file berthd on a real node, asked through its socket, and whether its ledger and Docker say the same. */
import { SECOND } from "./time";
import { until } from "./until";

export interface Grant {
  id: string;
  token: number;
  user: string;
  state: string;
  container?: string;
  units: { uuid: string }[];
}
export interface Container {
  Id: string;
  State: { Status: string; Running: boolean };
  Config: { Labels: Record<string, string> };
  HostConfig: { DeviceRequests: { DeviceIDs: string[] }[] | null };
}
export interface Answer {
  /** 0: the connection ended without an answer. */
  status: number;
  body: { id: string; grant?: Grant; grants: Grant[]; error?: { code: string; message: string } };
}

const inspected = (text: string): Container[] => (text.trim() === "" ? [] : JSON.parse(text));
/** Kind and step of what berthd's journal has. */
const OPERATIONS = `python3 -c 'import sqlite3; print(*sqlite3.connect("file:/var/lib/berth/agent/ledger.db?mode=ro", uri=True).execute("SELECT kind, step FROM operations"))'`;
const INSPECT = "docker ps -a -q --no-trunc --filter label=berth.creation | xargs -r docker inspect";

/**
 * @param onNode runs a command on the node and gives what it prints
 * @param deadline until when ledger and Docker have to agree, milliseconds
 */
export function berthdOn(onNode: (command: string) => Promise<string>, deadline = 30 * SECOND) {
  async function call(method: string, path: string, body?: object, seconds = 120): Promise<Answer> {
    const data = body === undefined ? "" : `-H 'content-type: application/json' -d '${JSON.stringify(body)}'`;
    const said = await onNode(
      `curl -s -m ${seconds} --unix-socket /run/berth/berthd.sock -X ${method} ${data} -w '\\n%{http_code}' http://berthd${path} || true`,
    );
    const lines = said.trimEnd().split("\n");
    const text = lines.slice(0, -1).join("\n");
    return { status: Number(lines.at(-1)), body: text === "" ? {} : JSON.parse(text) };
  }

  const grants = async () => (await call("GET", "/api/grants")).body.grants;

  const containers = async () => inspected(await onNode(INSPECT));

  /** The ledger, the containers, and berthd's journal of operations: by one connection, for it is asked often. */
  async function state(): Promise<{ held: Grant[]; made: Container[]; notes: string }> {
    const said = await onNode(
      `curl -s -m 60 --unix-socket /run/berth/berthd.sock http://berthd/api/grants; echo; echo ---; ${INSPECT}; echo ---; ${OPERATIONS}`,
    );
    const [ledger = "", made = "", notes = ""] = said.split(/^---$/m);
    return { held: JSON.parse(ledger).grants, made: inspected(made), notes: notes.trim() };
  }

  /** What speaks against the ledger and Docker saying the same; empty: they do. */
  async function disagreement(): Promise<string[]> {
    const { held, made, notes } = await state();
    const found: string[] = [];
    const running = made.filter(({ State }) => State.Running);
    for (const { Id, State } of made) if (State.Status === "created") found.push(`${Id} was never started`);
    for (const grant of held) {
      if (grant.state !== "bound") found.push(`grant ${grant.id} is ${grant.state}`);
      else if (!running.some(({ Id }) => Id === grant.container))
        found.push(`grant ${grant.id} is of no container`);
    }
    for (const container of running) {
      const own = held.filter((grant) => grant.container === container.Id);
      if (own.length !== 1) found.push(`${container.Id} has ${own.length} grants`);
      const has = container.HostConfig.DeviceRequests?.flatMap(({ DeviceIDs }) => DeviceIDs) ?? [];
      const granted = own.flatMap(({ units }) => units.map(({ uuid }) => `nvidia.com/gpu=${uuid}`));
      if (String(has.sort()) !== String(granted.sort()))
        found.push(`${container.Id} has ${has}, granted is ${granted}`);
      if (container.Config.Labels["berth.grant-token"] !== String(own[0]?.token))
        found.push(`${container.Id}: its token`);
    }
    const units = held.flatMap((grant) => grant.units.map(({ uuid }) => uuid));
    if (new Set(units).size !== units.length) found.push(`given twice: ${units.sort()}`);
    if (notes !== "") found.push(`operations under way: ${notes}`);
    return found;
  }

  async function agree(): Promise<void> {
    let last: string[] = [];
    await until("ledger and Docker agree", deadline, async () => {
      last = await disagreement();
      return last.length === 0;
    }).catch((error: Error) => {
      throw new Error(`${error.message}: ${last.join("; ")}`);
    });
  }

  return { call, grants, containers, agree };
}
