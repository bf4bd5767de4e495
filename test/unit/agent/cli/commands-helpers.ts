/** What the tests of berth's commands share: a time, a unit, and a berthd that answers as the test says. */
import { afterEach, beforeEach } from "vitest";
import { FakeBerthd, type Ran, berth as run } from "./helpers";

/** What the command takes for the time. */
export const NOW = Date.UTC(2026, 10, 21, 12, 0, 0);
/** A MIG instance, as berthd tells of it. */
export const unit = {
  uuid: "MIG-1",
  gpu: "GPU-0",
  name: "0:0",
  model: "NVIDIA H100 80GB HBM3",
  memoryMiB: 9728,
  profile: "1g.10gb",
  shared: false,
};

/** Started before each test, without any answer. */
export let berthd: FakeBerthd;

/** Starts `berthd` before each test of the file that calls this, and ends it after. */
export function berthdForEachTest(): void {
  beforeEach(async () => {
    berthd = await new FakeBerthd().start();
  });
  afterEach(() => berthd.end());
}

/** Runs a command of this berthd's: its words with one space between, without `berth`. */
export function berth(words: string, stdin = ""): Promise<Ran> {
  return run(words.split(" "), { env: { BERTH_SOCKET: berthd.socket }, now: () => NOW, stdin });
}
