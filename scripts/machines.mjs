/**
 * @file `npm run test:machines`: what only a whole machine with its own kernel can show, on virtual ones. Apart from
 * `npm test`, as emulated processors are slow. Ends with "N passed, N failed".
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readArgs, readMinutes, UsageError } from "./lib/args.mjs";
import { lastLine } from "./lib/counts.mjs";
import { duration } from "./lib/format.mjs";
import { runMain } from "./lib/main.mjs";
import { places } from "./lib/paths.mjs";
import { handleSignals } from "./lib/process.mjs";
import { ensureHome } from "./lib/pulumi-env.mjs";
import { requireMemory, requireRoom } from "./lib/room.mjs";
import { ensureNodeAndPackages, ensurePulumiAndPlugins, inStep, newContext } from "./lib/setup.mjs";
import { takeTurn } from "./lib/single.mjs";
import { runSuite, summary, testFiles } from "./lib/suites.mjs";
import { ensureTestTools, testEnvironment } from "./lib/test-setup.mjs";
import { missingTools, tellMissing } from "./lib/test-tools.mjs";
import { told, Ui } from "./lib/ui.mjs";
import { ensureGolden } from "./machines/golden.mjs";
import { sweepMachines } from "./machines/sweep.mjs";

const PART = "machines";
const FILES = testFiles(PART).map((file) => file.replace(/^.*\//, "").replace(/\.test\.m?ts$/, ""));

/** Two machines of 1.5 GiB, the processors' emulation, Pulumi and the tests. */
const MEMORY_BYTES = 6e9;
/** Each machine's own disk, and those that tests plug in. */
const ROOM_BYTES = 4e9;

const HELP = `npm run test:machines -- [--only FILE] [--deadline MINUTES] [options of vitest]

Starts virtual machines with QEMU and tries on them what containers cannot show: LVM, quotas, NFS, cgroup v2, a first
boot, restarts, a power cut. It needs root, 9 GB of disk and 6 GB of memory, no KVM and no container engine; it installs
the packages that are missing (qemu-system-x86, qemu-utils and others). The disk of the machines is made from Debian's
packages once and kept in the cache, and so is each machine after its boot. No port of this computer is opened.

  --only FILE          ${FILES.join(", ")}
  --deadline MINUTES   for all of it; default 60

Exit codes: 0 all passed, 1 a test failed or none ran, 2 wrong options, 130 stopped by Ctrl-C.
`;

await runMain(async () => {
  const { help, values, rest } = readArgs(process.argv.slice(2), {
    values: ["only", "deadline"],
    passThrough: true,
  });
  if (help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (values.only !== undefined && !FILES.includes(values.only))
    throw new UsageError(`--only: ${JSON.stringify(values.only)} is no test. Allowed: ${FILES.join(", ")}.`);
  const deadlineMs = readMinutes("--deadline", values.deadline, 60);
  if (process.platform !== "linux" || process.getuid?.() !== 0)
    throw new UsageError(
      "The test machines need Linux and root, for their network: run the same command as root.",
    );
  const end = Date.now() + deadlineMs;
  const at = places();
  ensureHome(at);
  const endTurn = await takeTurn(join(at.home, "test-machines.lock"), "npm run test:machines");
  try {
    requireMemory(MEMORY_BYTES, "for the test machines");
    requireRoom([{ path: tmpdir(), bytes: ROOM_BYTES, why: "for the disks of the test machines" }]);
    const ui = new Ui({ logs: at.logs, name: "test-machines", total: 6 });
    handleSignals();
    const context = newContext(ui);
    await ensureNodeAndPackages(context);
    await ensurePulumiAndPlugins(context);
    await inStep(context, "Test tools", async (now) => {
      const way = await ensureTestTools(now, [PART]);
      const missing = missingTools([PART], now.env);
      if (missing.length > 0) throw new Error(tellMissing(missing));
      return told(way);
    });
    await inStep(context, "Disk of the machines", async ({ step }) => {
      const began = Date.now();
      const { folder } = await ensureGolden(step.note);
      const made = Date.now() - began > 10_000 ? `made in ${duration(Date.now() - began)}` : "there before";
      return told(`${made}: ${folder}`);
    });
    ui.say();
    const result = await runSuite(PART, {
      env: { ...testEnvironment(context), BERTH_TEST_TOOLS: "required" },
      deadlineMs: Math.max(1000, end - Date.now()),
      passOn: [...(values.only === undefined ? [] : [`test/machines/${values.only}.test`]), ...rest],
      onLine: (line) => ui.say(`  ${line}`),
    }).finally(() => sweepMachines());
    for (const name of result.failures) ui.say(`FAILED  ${name}`);
    process.stdout.write(`\n${summary(result)}\n\n${lastLine(result.counts)}\n`);
    return result.counts.failed > 0 ? 1 : 0;
  } finally {
    endTurn();
  }
});
