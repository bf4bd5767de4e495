/** The resources against real processes and a real SSH protocol, without an engine. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bag, type Context, checkInputs, type Props, SshPool, UNKNOWN } from "@berth/plugin-base";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Sshd, startSshd } from "../../../test/fakes/sshd";
import { missing } from "../../../test/lib/programs";
import { until } from "../../../test/lib/until";
import { commandProvider } from "../src/index";
import { localCommand } from "../src/local-command";
import { remoteCommand } from "../src/remote-command";

const withoutSshd = missing("sshd", "ssh-keygen");
let folder: string;
let sshd: Sshd;
const pool = new SshPool();
const lines: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "berth-command-"));
  if (!withoutSshd) sshd = await startSshd();
});

afterAll(async () => {
  await pool.close();
  await sshd?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const context = (preview = false, signal = new AbortController().signal): Context => ({
  urn: "urn:pulumi:s::p::t::thing",
  name: "thing",
  type: "t",
  preview,
  signal,
  timeoutMs: undefined,
  log: (_severity, message) => lines.push(message),
});

const bag = (values: Props): Bag => ({ values, secrets: [] });
const connection = (): Props => ({
  host: "127.0.0.1",
  port: sshd.port,
  user: sshd.user,
  privateKey: sshd.privateKey,
  hostKey: sshd.hostKey,
});

describe("check", () => {
  it("fills in the defaults that the official plugin fills in, and no others", () => {
    const schema = commandProvider.resources["command:remote:Command"]?.inputs ?? {};
    const said = { create: "c", addPreviousOutputInEnv: false };
    const given = { connection: { host: "h", proxy: { host: "p" } }, ...said };
    const filled = { port: 22, user: "root", dialErrorLimit: 10, perDialTimeout: 15 };
    expect(checkInputs("t", schema, given)).toEqual({
      inputs: { ...said, connection: { host: "h", ...filled, proxy: { host: "p", ...filled } } },
      failures: [],
    });
  });

  it("refuses variables for a host, and wants it said that none are meant", () => {
    const given = { connection: { host: "h" }, create: "c", environment: { A: "a" } };
    expect(checkInputs("t", remoteCommand(pool).inputs, given).failures).toEqual([
      { property: "environment", reason: expect.stringMatching(/not supported here: .*use stdin/) },
      { property: "addPreviousOutputInEnv", reason: 'is missing; give it as one of "false"' },
    ]);
    const meant = { ...given, environment: {}, addPreviousOutputInEnv: true };
    expect(checkInputs("t", remoteCommand(pool).inputs, meant).failures).toEqual([
      { property: "addPreviousOutputInEnv", reason: 'is not one of "false"' },
    ]);
  });

  it.skipIf(withoutSshd)("finds unusable keys at preview, and lets unknown connections pass", async () => {
    const check = (values: Props) =>
      remoteCommand(pool).check?.({ olds: bag({}), news: bag(values) }, context(true));
    const bad = await check({ connection: { ...connection(), hostKey: "nonsense" } });
    expect(bad?.failures?.[0]?.reason).toContain("hostKey, line 1");
    expect((await check({ connection: UNKNOWN }))?.failures).toEqual([]);
    expect((await check({ connection: { ...connection(), host: UNKNOWN } }))?.failures).toEqual([]);
  });
});

describe.skipIf(withoutSshd)("remote command", () => {
  it("runs nothing in a preview", async () => {
    const file = join(folder, "never");
    const made = await remoteCommand(pool).create(
      { inputs: bag({ connection: connection(), create: `touch ${file}` }) },
      context(true),
    );
    expect(made).toEqual({
      id: "",
      outs: { connection: connection(), create: `touch ${file}`, stdout: UNKNOWN, stderr: UNKNOWN },
    });
    expect(existsSync(file)).toBe(false);
  });

  it("keeps the last output through an update that runs nothing, and streams lines as they come", async () => {
    const type = remoteCommand(pool);
    const inputs = {
      connection: connection(),
      create: "echo out; echo err >&2",
      addPreviousOutputInEnv: false,
    };
    const made = await type.create({ inputs: bag(inputs) }, context());
    expect(made.id).toMatch(/^thing[0-9a-f]{8}$/);
    expect(made.outs).toMatchObject({ stdout: "out", stderr: "err" });
    expect(lines).toEqual(expect.arrayContaining(["out", "err"]));
    const news = bag({ connection: connection() });
    const updated = await type.update?.(
      { id: made.id, olds: bag(made.outs), oldInputs: bag(inputs), news },
      context(),
    );
    expect(updated?.outs).toMatchObject({ stdout: "out", stderr: "err" });
  });
});

describe("local command", () => {
  const run = (values: Props, signal?: AbortSignal) =>
    localCommand().create({ inputs: bag(values) }, context(false, signal));

  it("has directory, environment, interpreter and stdin", async () => {
    const { outs } = await run({
      create: 'cat; printf %s "$A $0"; pwd >&2',
      interpreter: ["/bin/sh", "-eu", "-c"],
      dir: folder,
      environment: { A: "a" },
      stdin: "in,",
    });
    expect(outs).toMatchObject({ stdout: "in,a /bin/sh", stderr: folder });
  });

  it("tells an exit code, a missing program, a missing directory", async () => {
    await expect(run({ create: "exit 4" })).rejects.toThrow("exit code 4");
    await expect(run({ create: "x", interpreter: ["/no/such"] })).rejects.toThrow(
      /cannot start \/no\/such.*ENOENT/,
    );
    await expect(run({ create: "true", dir: "/no/such" })).rejects.toThrow(/\/no\/such.*ENOENT/);
  });

  it("ends the command and its children when cancelled", async () => {
    const control = new AbortController();
    const file = join(folder, "local.pid");
    const work = run({ create: `sleep 60 & echo $! > ${file}; wait` }, control.signal);
    const failed = expect(work).rejects.toThrow("was ended");
    await until("it runs", 30_000, () => readFileSync(file, "utf8") !== "");
    control.abort();
    await failed;
    const status = `/proc/${readFileSync(file, "utf8").trim()}/status`;
    expect(!existsSync(status) || /^State:\s+Z/m.test(readFileSync(status, "utf8"))).toBe(true);
  });

  it("refuses to collect files, and says so", () => {
    const { failures } = checkInputs("t", localCommand().inputs, {
      create: "x",
      assetPaths: ["*"],
      archivePaths: [],
    });
    expect(failures).toEqual([{ property: "assetPaths", reason: expect.stringContaining("not supported") }]);
  });
});
