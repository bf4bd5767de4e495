/** An API with the routes into containers, over a dockerd that runs commands as real processes. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { Commands, type CommandsOptions, type ManagedContainer } from "../../../agent/src/commands";
import { ContainerLogs } from "../../../agent/src/container-logs";
import { Engine } from "../../../agent/src/docker";
import { procSessions } from "../../../agent/src/docker/sessions";
import type { Area } from "../../../agent/src/http/areas";
import { addExec } from "../../../agent/src/http/areas/exec";
import { addLogs } from "../../../agent/src/http/areas/logs";
import { addTerminal } from "../../../agent/src/http/areas/terminal";
import { Proc } from "../../../agent/src/proc";
import { type FakeContainer, FakeDockerd } from "../../fakes/dockerd";
import { api, endings } from "../../unit/agent/http/cases";
import { type Api, type ApiOptions, tenantParts } from "../../unit/agent/http/rig";

export const soon = 30_000;
export const proc = new Proc();
export const page = "https://app.example";
/** A container of web-ide, one of bench, one that nobody has yet, one that is being made. */
export const ids = { mine: "00000001", theirs: "00000002", pooled: "00000003", making: "00000004" };

export interface Inside {
  api: Api;
  dockerd: FakeDockerd;
  commands: Commands;
  logs: ContainerLogs;
  /** Of the logs. */
  folder: string;
  managed: Map<string, ManagedContainer>;
  /** Docker's ids, by the API's, and that of a container which alice had made. */
  docker: Record<keyof typeof ids | "alices", string>;
  port: number;
  /** Tokens. */
  ide: string;
  bench: string;
  /** What the routes and what is behind them said, as JSON. */
  said: string[];
  /** A call of web-ide's, if no other token is given. */
  ask: (method: string, path: string, options?: object) => ReturnType<Api["call"]>;
}

export interface InsideOptions extends ApiOptions {
  /** In place of the usual limits of commands. */
  places?: CommandsOptions["limits"];
}

export async function inside({ places, log, ...options }: InsideOptions = {}): Promise<Inside> {
  const dockerd = new FakeDockerd();
  await dockerd.start();
  endings.push(() => dockerd.close());
  const docker = Object.fromEntries(
    [...Object.keys(ids), "alices"].map((name) => [name, dockerd.put({ Name: `/${name}` } as FakeContainer)]),
  ) as Inside["docker"];
  for (const id of Object.values(docker))
    dockerd.data.stats.set(id, { read: new Date().toISOString(), memory_stats: { usage: 5, limit: 9 } });
  const one = (name: keyof typeof ids, owner: string, state: ManagedContainer["state"] = "ready") =>
    [ids[name], { id: ids[name], owner, container: docker[name], state, env: {} }] as const;
  const managed = new Map<string, ManagedContainer>([
    one("mine", "web-ide"),
    one("theirs", "bench"),
    one("pooled", ""),
    one("making", "web-ide", "making"),
  ]);
  const said: string[] = [];
  const say = pino({ level: "info" }, { write: (line) => void said.push(line) });
  const folder = mkdtempSync(join(tmpdir(), "berth-inside-"));
  endings.push(() => rmSync(folder, { recursive: true, force: true }));
  const logs = new ContainerLogs({ folder, log: say });
  await logs.restore([]);
  endings.push(() => logs.close());
  // Here no cgroup has a container's name.
  const engine = new Engine({ socket: dockerd.socket, sessions: procSessions(proc, () => true) });
  const commands = new Commands({
    engine,
    managed: {
      find: (owner, id) => {
        const found = managed.get(id);
        return found?.owner === owner ? found : undefined;
      },
    },
    people: {
      get: (id) => (id === docker.alices ? { id, kind: "created", owner: "alice" } : undefined),
    },
    log: say,
    limits: places,
  });
  endings.push(() => commands.close());
  const area: Area = (app, context) => {
    const forTenants = tenantParts({ commands, logs, origins: () => [page] });
    const more = { ...context, log: say, forTenants };
    for (const add of [addExec, addLogs, addTerminal]) add(app, more);
  };
  const made = await api({
    node: { tenants: [{ name: "web-ide" }, { name: "bench" }] },
    area,
    log,
    ...options,
  });
  const tokenOf = async (owner: string) =>
    (await made.call("POST", "/api/tokens", { body: { role: "tenant", owner } })).body.token as string;
  const [ide, bench] = [await tokenOf("web-ide"), await tokenOf("bench")];
  const port = made.servers.port as number;
  return {
    ...{ api: made, dockerd, commands, logs, folder, managed, docker, port, ide, bench, said },
    ask: (method, path, more = {}) => made.call(method, path, { port, token: ide, ...more }),
  };
}

/** Living processes of the sessions of all commands that were begun. */
export const living = ({ dockerd }: Inside) => {
  const leaders = new Set(dockerd.execs.all.map(({ pid }) => pid));
  return proc.pids().filter((pid) => leaders.has(proc.sessionOf(pid) ?? -1));
};
