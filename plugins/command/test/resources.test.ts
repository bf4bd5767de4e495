/** The resources against real processes and a real SSH protocol, without an engine. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bag, type Context, checkInputs, type Props, SshPool, UNKNOWN } from "@berth/plugin-base";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Sshd, startSshd } from "../../../test/fakes/sshd";
import { missing } from "../../../test/lib/programs";
import { until } from "../../../test/lib/until";
import { copyToRemote, needsCopy } from "../src/copy-to-remote";
import { commandProvider } from "../src/index";
import { localCommand } from "../src/local-command";
import { remoteCommand } from "../src/remote-command";

const SIG = "4dabf18193072939515e22adb298388d";
const ASSET = "c44067f5952c0a294b673a41bacd8c17";
const ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7";

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
    const given = { connection: { host: "h", proxy: { host: "p" } }, create: "c" };
    const filled = { port: 22, user: "root", dialErrorLimit: 10, perDialTimeout: 15 };
    expect(checkInputs("t", schema, given)).toEqual({
      inputs: { create: "c", connection: { host: "h", ...filled, proxy: { host: "p", ...filled } } },
      failures: [],
    });
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

describe.skipIf(withoutSshd)("copy to remote", () => {
  const copy = (source: Props, remotePath: string) =>
    copyToRemote(pool).create({ inputs: bag({ connection: connection(), source, remotePath }) }, context());
  const asset = (path: string, kind = ASSET): Props => ({ [SIG]: kind, hash: path, path });

  it("puts a file at the path, or into it if it is a directory", async () => {
    const source = join(folder, "f.txt");
    writeFileSync(source, "content");
    mkdirSync(join(folder, "dir"));
    await copy(asset(source), join(folder, "new/parents/named.txt"));
    await copy(asset(source), join(folder, "dir"));
    expect(readFileSync(join(folder, "new/parents/named.txt"), "utf8")).toBe("content");
    expect(readFileSync(join(folder, "dir/f.txt"), "utf8")).toBe("content");
  });

  it("puts a directory into the path, and its content there with a slash at the end", async () => {
    const source = join(folder, "tree");
    mkdirSync(join(source, "sub"), { recursive: true });
    writeFileSync(join(source, "sub/x"), "x");
    writeFileSync(join(source, "y"), "y");
    symlinkSync("y", join(source, "link"));
    await copy(asset(source, ARCHIVE), join(folder, "t1"));
    await copy(asset(`${source}/`, ARCHIVE), join(folder, "t2"));
    expect(readFileSync(join(folder, "t1/tree/sub/x"), "utf8")).toBe("x");
    expect(readFileSync(join(folder, "t2/link"), "utf8")).toBe("y");
    await expect(copy(asset(source, ARCHIVE), join(folder, "f.txt"))).rejects.toThrow(/is a file/);
    await expect(copy(asset(join(folder, "gone")), join(folder, "z"))).rejects.toThrow(/ENOENT/);
  });

  it("refuses sources that the official plugin refuses", async () => {
    const check = async (source: Props) =>
      (await copyToRemote(pool).check?.({ olds: bag({}), news: bag({ source }) }, context()))?.failures;
    expect(await check({ [SIG]: ASSET, hash: "h", uri: "https://x" })).toHaveLength(1);
    expect(await check({ [SIG]: ARCHIVE, hash: "h", assets: {} })).toHaveLength(1);
    expect(await check({ [SIG]: ASSET, hash: "h", text: "t" })).toEqual([]);
  });

  it("copies again when content, path or server changed, not for a new key", () => {
    const before: Props = {
      source: { [SIG]: ASSET, hash: "1", text: "a" },
      remotePath: "/a",
      connection: { host: "h" },
    };
    expect(needsCopy(before, { ...before, connection: { host: "h", privateKey: "k" } })).toBe(false);
    expect(needsCopy(before, { ...before, connection: { host: "i" } })).toBe(true);
    expect(needsCopy(before, { ...before, remotePath: "/b" })).toBe(true);
    expect(needsCopy(before, { ...before, source: { [SIG]: ASSET, hash: "2", text: "b" } })).toBe(true);
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
