/**
 * A process with the set-ups of berthd, killed with SIGKILL at each fault point of one; database, git and commands are real, dockerd is a
 * stand-in that lives on. Proves: after the next start the set-up has ended, as ready or failed, which is told once all before it was;
 * no note and no working tree is left, and the container can be set up again.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { build } from "esbuild";
import { beforeAll, expect, it } from "vitest";
import type { ManagedContainer } from "../../../agent/src/manager";
import { faultPoints } from "../../../agent/src/operations";
import type { SetupRequest } from "../../../agent/src/setup";
import { until } from "../../lib/until";
import {
  aContainer,
  aNode,
  dockerd,
  ended,
  folder,
  host,
  lastOf,
  OWNER,
  receiver,
  request,
  SOON,
  setUp,
  setupsForEachTest,
  supervisors,
  told,
} from "./setup-rig";

let program: string;

beforeAll(async () => {
  const made = await build({
    stdin: {
      contents: `
        import { SetupNode } from "./test/process/agent/setup-node";
        const { plain, ask } = JSON.parse(process.env.TOLD);
        async function main() {
          const node = await new SetupNode({ ...plain, more: { times: { start: 1000 } } }).start();
          await node.setups.ask(...ask);
        }
        main();
      `,
      ...{ resolveDir: process.cwd(), loader: "ts" },
    },
    ...{
      bundle: true,
      platform: "node",
      format: "cjs",
      logLevel: "silent",
      write: false,
      packages: "external",
    },
  });
  program = made.outputFiles[0]?.text ?? "";
});

setupsForEachTest();

/** Those after which the set-up is begun, and its caller may know of it. */
const begun = (point: string) => point !== "setup:before-accept";
/** From here on it goes on to its end. */
const GOES_ON = ["setup:before-image", "setup:after-image", "setup:before-start", "setup:after-start"];

const notes = () => {
  const db = new DatabaseSync(join(folder, "ledger.db"), { readOnly: true });
  try {
    return (db.prepare("SELECT count(*) AS n FROM operations").get() as { n: number }).n;
  } finally {
    db.close();
  }
};

/** A process that asks for the set-up. */
function asking(container: ManagedContainer, body: SetupRequest, env: NodeJS.ProcessEnv = {}): ChildProcess {
  const plain = { folder, socket: dockerd.socket, hosts: [host.host], containers: [container] };
  const file = join(folder, "set-up.cjs");
  writeFileSync(file, program);
  return spawn(process.execPath, [file], {
    stdio: "ignore",
    env: {
      ...process.env,
      NODE_PATH: join(process.cwd(), "node_modules"),
      ...{ TOLD: JSON.stringify({ plain, ask: [OWNER, container.id, body] }) },
      ...env,
    },
  });
}

it.each(faultPoints.filter((point) => point.startsWith("setup:")))("%s", async (point) => {
  await host.commit("acme", "app", { a: "1" });
  const container = aContainer();
  const body = request("app", container, {
    installCommand: "echo installed",
    startCommand: "exec sleep 600",
  });
  const child = asking(container, body, { BERTH_FAULT: point, BERTH_FAULTS_ALLOWED: "1" });
  expect((await once(child, "exit"))[1]).toBe("SIGKILL");
  const node = await aNode([container], { times: { start: 1000 } });
  if (begun(point)) {
    const end = await ended(container.id);
    // A message may come twice, never out of order; after "after-start" it is ready already.
    const sequences = receiver.got.map(({ message }) => message.sequence);
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
    expect(end.phase).toBe(GOES_ON.includes(point) ? "ready" : "failed");
    if (end.phase === "failed") expect(end.message).toContain("cut off");
  } else expect([told(), node.setups.phaseOf(container.id)]).toEqual([[], undefined]);
  await until("nothing is noted", SOON, () => notes() === 0);
  expect(readdirSync(join(folder, "cache/.work"))).toEqual([]);
  expect(supervisors(container.id)).toHaveLength(GOES_ON.includes(point) ? 1 : 0);
  const before = lastOf(container.id)?.sequence ?? 0;
  expect(await setUp(node, container, body)).toMatchObject({ phase: "ready" });
  expect(lastOf(container.id)?.sequence).toBeGreaterThan(before);
  expect(supervisors(container.id)).toHaveLength(1);
});

it("in the middle of an installation, which ends before the next one begins", async () => {
  await host.commit("acme", "app", { a: "1" });
  const container = aContainer();
  const slow = request("app", container, { installCommand: "sleep 600 & sleep 600" });
  const child = asking(container, slow);
  await until("it installs", SOON, () =>
    dockerd.execs.all.some(({ running, body }) => running && isSlow(body)),
  );
  child.kill("SIGKILL");
  const node = await aNode([container], { times: { start: 1000 } });
  expect(await ended(container.id)).toMatchObject({
    phase: "failed",
    message: expect.stringContaining("cut off"),
  });
  expect(dockerd.execs.all.filter(({ running, body }) => running && isSlow(body))).toHaveLength(1);
  const next = request("app", container, { installCommand: "echo done" });
  expect(await setUp(node, container, next)).toMatchObject({ phase: "ready" });
  expect(dockerd.execs.all.filter(({ running }) => running)).toEqual([]);
});

const isSlow = ({ Cmd }: { Cmd: string[] }) => Cmd.at(-1)?.includes("sleep 600 &") === true;
