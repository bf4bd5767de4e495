/**
 * Running nvidia-smi: real processes, with small deadlines, and stand-ins where a driver's answer is what matters.
 * Proves: a hang is ended at the deadline with all its children, and no second one is started while the first still
 * lives; every way to fail has its code; a lost GPU leaves the others readable; the kernel log is read once.
 */
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import {
  type Exec,
  exec,
  type FakePaths,
  fakePaths,
  fileLog,
  InventoryError,
  installFakeNvidiaSmi,
  journalLog,
  NvidiaSmi,
} from "../../../../agent/src/inventory";
import { declaredInventory } from "../../../../core/gpu";
import { failureOf } from "../../../lib/failure";
import { setFakeState } from "../../../lib/fake-gpus";
import { until } from "../../../lib/until";
import { H100 } from "./cases";
import { answers, ended, fixture, root, rootForEachTest } from "./helpers";

rootForEachTest();

let paths: FakePaths;
beforeEach(() => {
  paths = fakePaths(root);
});

const failure = (work: Promise<unknown>) => failureOf(InventoryError, work);
const alive = (pid: number) => {
  try {
    process.kill(pid, 0);
    // A zombie is gone; only its parent has not looked yet.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};
function program(body: string): string {
  const path = join(root, "nvidia-smi");
  writeFileSync(path, `#!/bin/bash\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

describe("a driver that hangs", () => {
  it("is ended at the deadline with all its children, though they ignore SIGTERM", async () => {
    const pids = join(root, "pids");
    const command = program(
      `trap '' TERM INT HUP\nsleep 300 &\necho $$ $! >${pids}.new\nmv ${pids}.new ${pids}\necho '<?xml'\nwait`,
    );
    const smi = new NvidiaSmi({ command, deadlineMs: 2500 });
    const began = performance.now();
    const error = await failure(smi.read());
    const took = performance.now() - began;
    expect(error.code).toBe("hang");
    expect(error.message).toBe(`${command} -q -x did not end: the whole reading has 2.5 s`);
    expect(took).toBeGreaterThanOrEqual(2400);
    expect(took).toBeLessThan(10_000);
    const started = readFileSync(pids, "utf8").trim().split(" ").map(Number);
    expect(started).toHaveLength(2);
    await until("they are gone", 30_000, () => started.filter(alive).length === 0);
  });

  it("is ended too when only a child holds the output open", async () => {
    const command = program("sleep 300 &\necho $!\nexit 0");
    const answer = await exec(command, [], { deadlineMs: 800, maxBytes: 1000 });
    expect(answer).toMatchObject({ timedOut: true, code: null });
    await until("it is gone", 30_000, () => !alive(Number(answer.stdout)));
  });

  it("is not asked again while it outlives its end, and is when it is gone", async () => {
    let end = () => {};
    const gone = new Promise<void>((done) => {
      end = done;
    });
    const calls: string[] = [];
    const stuck: Exec = async (_, args) => {
      calls.push(args.join(" "));
      if (calls.length > 1) return ended({ stdout: fixture("h100/q.xml") });
      return ended({ code: null, timedOut: true, gone });
    };
    const smi = new NvidiaSmi({ exec: stuck });
    expect((await failure(smi.read())).code).toBe("hang");
    const second = await failure(smi.read());
    expect(second.code).toBe("hang");
    expect(second.message).toContain("was killed and still hangs in the driver");
    expect(calls).toEqual(["-q -x"]);
    end();
    await gone;
    expect((await smi.read()).inventory.gpus).toHaveLength(1);
  });

  it("has one deadline for all commands of a reading", async () => {
    let clock = 0;
    const limits: number[] = [];
    const slow: Exec = async (_, args, { deadlineMs }) => {
      limits.push(deadlineMs);
      clock += 12_000;
      if (clock > 20_000) return ended({ code: null, timedOut: true });
      return ended({ stdout: fixture(args[0] === "-L" ? "mig/L.txt" : "mig/q.xml") });
    };
    const error = await failure(new NvidiaSmi({ exec: slow, now: () => clock }).read());
    expect(error.code).toBe("hang");
    expect(limits).toEqual([20_000, 8_000]);
  });
});

describe("a driver that fails", () => {
  it.each([
    [
      "exit 255 with words",
      "echo 'Failed to initialize NVML: Unknown Error'; exit 255",
      "exit",
      "ended with 255 (an internal error of the driver): Failed to initialize NVML: Unknown Error",
    ],
    [
      "no driver",
      "echo 'NVIDIA-SMI has failed because it could not communicate'; exit 9",
      "exit",
      "ended with 9 (the driver is not loaded)",
    ],
    ["death by a signal", "kill -SEGV $$", "exit", "ended with a signal (it was killed)"],
    ["garbage", "printf '\\001\\377%%PDF'", "garbage", "printed no XML"],
    ["nothing at all", "exit 0", "garbage", "printed no XML"],
    ["no end of output", "while :; do printf '%01000d' 0; done", "garbage", "printed without an end"],
  ])("%s", async (_, body, code, message) => {
    const error = await failure(
      new NvidiaSmi({ command: program(body), deadlineMs: 10_000, maxBytes: 1 << 20 }).read(),
    );
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
  });

  it("is missing where it is not installed, and not where it may not be run", async () => {
    expect((await failure(new NvidiaSmi({ command: join(root, "none") }).read())).code).toBe("missing");
    const command = program("exit 0");
    chmodSync(command, 0o644);
    const error = await failure(new NvidiaSmi({ command }).read());
    expect([error.code, error.message]).toEqual(["exit", expect.stringContaining("EACCES")]);
  });

  it("keeps the caller's variables from the driver", async () => {
    process.env.CUDA_VISIBLE_DEVICES = "3";
    try {
      const { stdout } = await exec(program('echo "[$CUDA_VISIBLE_DEVICES] $LC_ALL"'), [], {
        deadlineMs: 5000,
        maxBytes: 100,
      });
      expect(stdout).toBe("[] C\n");
    } finally {
      delete process.env.CUDA_VISIBLE_DEVICES;
    }
  });

  it("shows no GPU when there is none, and that is an answer", async () => {
    const command = program("echo 'No devices were found'; exit 6");
    expect(await new NvidiaSmi({ command }).read()).toEqual({
      inventory: { source: "nvidia-smi", gpus: [] },
      readings: [],
      lost: [],
      warnings: [],
    });
  });

  it("is believed when it only warns about an infoROM", async () => {
    writeFileSync(join(root, "q.xml"), fixture("h100/q.xml"));
    const command = program(
      `cat ${root}/q.xml; echo 'WARNING: infoROM is corrupted at gpu 0000:00:06.0'; exit 14`,
    );
    expect((await new NvidiaSmi({ command }).read()).inventory.gpus).toHaveLength(1);
  });
});

describe("a reading", () => {
  it("asks for links once, and overlapping calls share it", async () => {
    const { exec, calls } = answers({
      "-q -x": fixture("mig/q.xml"),
      "-L": fixture("mig/L.txt"),
      "topo -m": fixture("mig/topo.txt"),
      "mig -lgip": fixture("h100/lgip.txt"),
    });
    const smi = new NvidiaSmi({ exec });
    const [first, second] = await Promise.all([smi.read(), smi.read()]);
    expect(second).toBe(first);
    expect(calls).toEqual(["-q -x", "-L", "topo -m", "mig -lgip"]);
    await smi.read();
    expect(calls.slice(4)).toEqual(["-q -x", "-L"]);
    expect(first.inventory.gpus[0]?.nvlink).toEqual(["GPU-bbbbbbbb-2222-3333-4444-555555555555"]);
  });

  it("needs one command where there is one GPU that cannot be divided", async () => {
    const { exec, calls } = answers({
      "-q -x": fixture("h100/q.xml").replaceAll("_mig>Disabled", "_mig>N/A"),
    });
    expect((await new NvidiaSmi({ exec }).read()).inventory.source).toBe("nvidia-smi");
    expect(calls).toEqual(["-q -x"]);
  });

  it("looks again, once, when it was re-sliced between two commands", async () => {
    const before = fixture("mig/L.txt").replace(/ {2}MIG 2c.*\n/, "");
    let lists = 0;
    const table = answers({ "-q -x": fixture("mig/q.xml"), "-L": "", "topo -m": fixture("mig/topo.txt") });
    const changing: Exec = async (file, args, limits) => {
      const answer = await table.exec(file, args, limits);
      return args[0] === "-L" ? { ...answer, stdout: lists++ === 0 ? before : fixture("mig/L.txt") } : answer;
    };
    expect((await new NvidiaSmi({ exec: changing }).read()).inventory.gpus[0]?.instances).toHaveLength(3);
    const never = answers({ "-q -x": fixture("mig/q.xml"), "-L": before });
    expect((await failure(new NvidiaSmi({ exec: never.exec }).read())).code).toBe("garbage");
    expect(never.calls).toEqual(["-q -x", "-L", "-q -x", "-L"]);
  });

  it("reads the other GPUs one by one when the driver gives up at a lost one", async () => {
    const inventory = declaredInventory([{ ...H100, count: 3 }], "gpu-1");
    const [a, b, c] = inventory.gpus;
    installFakeNvidiaSmi(inventory, paths);
    const smi = new NvidiaSmi({ command: paths.command, source: "declared" });
    const first = await smi.read();
    const known = first.readings.map(({ uuid, index, pci }) => ({ uuid, index, pci }));
    setFakeState({ lost: [b?.uuid ?? ""] }, paths);
    const { inventory: rest, lost, readings } = await smi.read(known);
    expect(rest).toMatchObject({ source: "declared", driver: "580.159.04" });
    expect(rest.gpus.map(({ uuid, index }) => [uuid, index])).toEqual([
      [a?.uuid, 0],
      [c?.uuid, 2],
    ]);
    expect(readings.map(({ index }) => index)).toEqual([0, 2]);
    expect(lost).toEqual([
      expect.objectContaining({ pci: "0000:11:00", reason: expect.stringContaining("GPU is lost") }),
    ]);
    // At the very first reading the list knows the others.
    const fresh = new NvidiaSmi({ command: paths.command, source: "declared" });
    expect((await fresh.read()).inventory.gpus.map(({ uuid, index }) => [uuid, index])).toEqual([
      [a?.uuid, 0],
      [c?.uuid, 2],
    ]);
    // And where the driver refuses altogether, no GPU is called lost.
    setFakeState({ exit: 255 }, paths);
    expect(await failure(smi.read(known))).toMatchObject({ code: "exit", exitCode: 255 });
  });

  it("fails as the stand-in is told to", async () => {
    installFakeNvidiaSmi(declaredInventory([H100], "gpu-1"), paths);
    const smi = new NvidiaSmi({ command: paths.command, source: "declared", deadlineMs: 1000 });
    setFakeState({ hang: true }, paths);
    expect((await failure(smi.read())).code).toBe("hang");
    setFakeState({ garbage: true }, paths);
    await until("it starts anew", 30_000, async () => (await failure(smi.read())).code === "garbage");
    setFakeState({}, paths);
    await until("it is read", 30_000, () => smi.read());
  });
});

describe("the kernel log", () => {
  it("of declared GPUs is read from where it ended, whole lines alone", async () => {
    const log = fileLog(paths.kernelLog);
    expect(await log.read()).toEqual({ lines: [], cursor: "0" });
    setFakeState({ xid: [{ gpu: 1, xid: 79, text: "GPU has fallen off the bus." }] }, paths);
    const first = await log.read("0");
    expect(first.lines).toEqual([{ text: "NVRM: Xid (PCI:0000:11:00): 79, GPU has fallen off the bus." }]);
    writeFileSync(paths.kernelLog, "NVRM: half", { flag: "a" });
    expect(await log.read(first.cursor)).toEqual({ lines: [], cursor: first.cursor });
    writeFileSync(paths.kernelLog, " a line\n", { flag: "a" });
    expect((await log.read(first.cursor)).lines).toEqual([{ text: "NVRM: half a line" }]);
    // Begun anew, it is shorter than the cursor.
    writeFileSync(paths.kernelLog, "NVRM: x\n");
    expect((await log.read(first.cursor)).lines).toEqual([{ text: "NVRM: x" }]);
    expect(existsSync(paths.kernelLog)).toBe(true);
  });

  it("of the system is the journal's, with times, and only the driver's lines", async () => {
    const entry = (cursor: string, message: unknown) =>
      JSON.stringify({ __CURSOR: cursor, __REALTIME_TIMESTAMP: "1700000000123456", MESSAGE: message });
    const asked: string[][] = [];
    const answer = (code: number, stdout: string) =>
      ended({ code, stdout, stderr: "Failed to seek to cursor: Invalid argument" });
    const log = journalLog(async (_, args) => {
      asked.push(args.filter((arg) => arg.includes("cursor")));
      if (args.includes("--after-cursor=old")) return answer(1, "");
      return answer(
        0,
        `${entry("c1", "usb 1-1: new device")}\n${entry("c2", [255, 1])}\n${entry("c3", "NVRM: Xid (PCI:0000:3b:00): 79, x")}\n`,
      );
    });
    const whole = {
      lines: [{ text: "NVRM: Xid (PCI:0000:3b:00): 79, x", at: 1700000000123.456 }],
      cursor: "c3",
    };
    expect(await log.read()).toEqual(whole);
    expect(await log.read("old")).toEqual(whole);
    expect(asked).toEqual([[], ["--after-cursor=old"], []]);
    const quiet = journalLog(async () => answer(0, ""));
    expect(await quiet.read("c3")).toEqual({ lines: [], cursor: "c3" });
    await expect(journalLog(async () => answer(1, "")).read()).rejects.toThrow("journalctl ended with 1");
  });
});
