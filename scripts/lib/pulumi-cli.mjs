/**
 * @file Step 4: the Pulumi CLI and its Node.js language host: on PATH, by official download, or built from the Go
 * module proxy.
 */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { addToPath } from "./context.mjs";
import { fetchVerified, unpack } from "./download.mjs";
import { newFolder, placeFolder, readJson, which } from "./files.mjs";
import { ensureGo } from "./go.mjs";
import { compareVersions, ROOT, VERSIONS } from "./paths.mjs";
import { ask, run } from "./process.mjs";
import { requireRoom } from "./room.mjs";

const EXE = process.platform === "win32" ? ".exe" : "";

/** The modules of what is built here; their go.mod and go.sum pin every dependency by version and checksum. */
const BUILDS = [
  {
    file: "pulumi-language-nodejs",
    module: "nodejs-host",
    package: "github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs",
    version: VERSIONS.nodejsHost,
  },
  {
    file: "pulumi",
    module: "cli",
    package: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    version: VERSIONS.pulumi,
  },
];

/**
 * Puts a Pulumi CLI (3.250.0 up to, not including, 4) with its language host on PATH.
 * @param {import("./context.mjs").Context} context
 * @returns {Promise<string>} the way taken
 */
export async function ensurePulumi(context) {
  const { at, env, step } = context;
  const onPath = which("pulumi", env);
  const version =
    onPath && onPath !== join(at.pulumiDir, `pulumi${EXE}`) ? await pulumiVersion(onPath, env) : undefined;
  if (onPath && version && acceptable(version) && hasHost(onPath, env)) return `${version} on PATH`;
  const program = join(at.pulumiDir, `pulumi${EXE}`);
  const complete = () =>
    existsSync(program) && existsSync(join(at.pulumiDir, `pulumi-language-nodejs${EXE}`));
  if (complete()) {
    placeNodeShim(at.pulumiDir);
    addToPath(context, at.pulumiDir);
    if ((await pulumiVersion(program, env)) === `v${VERSIONS.pulumi}`) {
      return `v${VERSIONS.pulumi} ${readJson(join(at.pulumiDir, "berth.json"))?.way ?? "brought"} before`;
    }
    step.note(`${program} does not run as v${VERSIONS.pulumi}; making it anew`);
  }
  const way = await bring(context);
  placeNodeShim(at.pulumiDir);
  addToPath(context, at.pulumiDir);
  if ((await pulumiVersion(program, env)) !== `v${VERSIONS.pulumi}`) {
    throw new Error(`${program} does not run here (its folder can be removed to make it anew)`);
  }
  return `v${VERSIONS.pulumi} ${way}`;
}

/** @param {string} version */
export function acceptable(version) {
  return compareVersions(version, VERSIONS.pulumi) >= 0 && compareVersions(version, "4.0.0") < 0;
}

/**
 * @param {string} program
 * @param {NodeJS.ProcessEnv} env
 */
function hasHost(program, env) {
  return (
    existsSync(join(dirname(program), `pulumi-language-nodejs${EXE}`)) ||
    Boolean(which("pulumi-language-nodejs", env))
  );
}

/**
 * @param {string} program
 * @param {NodeJS.ProcessEnv} env
 */
async function pulumiVersion(program, env) {
  return ask(program, ["version"], { env: { ...env, PULUMI_SKIP_UPDATE_CHECK: "true" } });
}

/**
 * @param {import("./context.mjs").Context} context
 * @returns {Promise<string>}
 */
async function bring(context) {
  const { step, at } = context;
  step.note("trying the official download");
  try {
    await fromOfficial(context);
    return record(at.pulumiDir, "by official download");
  } catch (error) {
    if (!(error instanceof Error) || "exitCode" in error) throw error;
    step.note(`no official download (${error.message}); building from the Go module proxy instead`);
  }
  await fromSource(context);
  return record(at.pulumiDir, "built from source");
}

/**
 * @param {string} folder
 * @param {string} way
 */
function record(folder, way) {
  writeFileSync(join(folder, "berth.json"), `${JSON.stringify({ way })}\n`);
  return way;
}

/** @param {import("./context.mjs").Context} context */
async function fromOfficial(context) {
  const { at } = context;
  const windows = process.platform === "win32";
  const v = VERSIONS.pulumi;
  const archive = `pulumi-v${v}-${windows ? "windows" : process.platform}-${process.arch}.${windows ? "zip" : "tar.gz"}`;
  const sites = [
    "https://get.pulumi.com/releases/sdk",
    `https://github.com/pulumi/pulumi/releases/download/v${v}`,
  ];
  const folder = newFolder(at.cache, `pulumi-${v}`);
  try {
    const file = join(folder, archive);
    const sums = sites.map((site) => `${site}/pulumi-${v}-checksums.txt`);
    await fetchVerified(
      context,
      sites.map((site) => `${site}/${archive}`),
      sums,
      file,
    );
    const inside = join(folder, "pulumi");
    await unpack(context, file, inside);
    // The Windows archive holds one folder more.
    placeFolder(existsSync(join(inside, "bin")) ? join(inside, "bin") : inside, at.pulumiDir);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {import("./context.mjs").Context} context */
async function fromSource(context) {
  const { at, step } = context;
  // Measured: 1.5 GB of modules, 1.6 GB of compiler cache, 0.3 GB of Go, 0.2 GB of programs.
  requireRoom([
    { path: at.cache, bytes: 4e9, why: "to build the Pulumi CLI (3 GB of it are freed afterwards)" },
  ]);
  const { go, way } = await ensureGo(context);
  const env = {
    ...context.env,
    // Kept until all is built, so that an interrupted build goes on where it was.
    GOPATH: join(at.build, "go"),
    GOCACHE: join(at.build, "gocache"),
    GOFLAGS: "-mod=readonly -modcacherw -buildvcs=false",
    GOTOOLCHAIN: "local",
    GOWORK: "off",
    CGO_ENABLED: "0",
    GO111MODULE: "on",
  };
  mkdirSync(at.pulumiDir, { recursive: true });
  for (const build of BUILDS) {
    const target = join(at.pulumiDir, build.file + EXE);
    if (existsSync(target)) continue;
    const folder = join(at.build, build.module);
    rmSync(folder, { recursive: true, force: true });
    cpSync(join(ROOT, "scripts/engine", build.module), folder, { recursive: true });
    const temporary = join(at.pulumiDir, `.${build.file}.tmp`);
    const stamp = `-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v${build.version}`;
    step.note(`${way}: ${build.file} v${build.version} (minutes; it goes on where it was when stopped)`);
    let compiled = 0;
    /** @param {string} line */
    const onLine = (line) => {
      if (/^[a-z0-9.]+[a-zA-Z0-9._/~-]*$/.test(line)) compiled += 1;
      step.line(line.startsWith("go: ") ? line : `compiling ${build.file}: ${compiled} packages, ${line}`);
    };
    const args = ["build", "-v", "-trimpath", "-ldflags", stamp, "-o", temporary, build.package];
    await run(go, args, { env, cwd: folder, onLine, deadlineMs: 45 * 60_000 });
    chmodSync(temporary, 0o755);
    renameSync(temporary, target);
  }
  step.note("freeing the build's folders");
  rmSync(at.build, { recursive: true, force: true });
  rmSync(join(at.cache, `go-${VERSIONS.go}`), { recursive: true, force: true });
}

/**
 * The CLI finds dynamic providers' helper beside itself; it is part of the npm package.
 * @param {string} folder
 */
function placeNodeShim(folder) {
  for (const name of ["pulumi-resource-pulumi-nodejs", "pulumi-resource-pulumi-nodejs.cmd"]) {
    const from = join(ROOT, "node_modules/@pulumi/pulumi", name);
    const to = join(folder, name);
    if (!existsSync(from) || existsSync(to)) continue;
    copyFileSync(from, `${to}.tmp`);
    chmodSync(`${to}.tmp`, 0o755);
    renameSync(`${to}.tmp`, to);
  }
}
