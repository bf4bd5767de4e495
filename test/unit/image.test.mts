import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { operatorAuthorities, readPem } from "../../scripts/image/authorities.cjs";
import { stagesOf } from "../../scripts/image/build.mjs";
import {
  contentHash,
  contextFiles,
  IMAGES,
  imageDir,
  lineage,
  recipeFiles,
} from "../../scripts/image/catalog.cjs";
import { readAccount, readCommand } from "../../scripts/image/cli.mjs";
import { withLock } from "../../scripts/image/lock.mjs";
import { buildSettings } from "../../scripts/image/settings.mjs";
import { missing, shellcheck } from "../lib/programs.js";

const NAMES = Object.keys(IMAGES);

/** A PEM block whose DER form is `bytes`: what the readers look at is the block, not X.509. */
function pem(bytes: string): string {
  return `-----BEGIN CERTIFICATE-----\n${Buffer.from(bytes).toString("base64")}\n-----END CERTIFICATE-----\n`;
}

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "berth-image-test-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe("content hash", () => {
  it("is 12 hex characters, the same each time, another for each image", () => {
    const hashes = NAMES.map((name) => contentHash(name, {}));
    expect(hashes).toEqual(NAMES.map((name) => contentHash(name, {})));
    expect(new Set(hashes).size).toBe(NAMES.length);
    for (const hash of hashes) expect(hash).toMatch(/^[0-9a-f]{12}$/);
  });

  it("changes in every image with a system when the operator's authorities change", () => {
    const file = join(dir, "own.pem");
    writeFileSync(file, pem("an authority of a company"));
    for (const name of NAMES.filter((name) => !IMAGES[name]?.parcel)) {
      expect(contentHash(name, { SSL_CERT_FILE: file })).not.toBe(contentHash(name, {}));
    }
  });

  it("knows each image's line of parents", () => {
    expect(lineage("workspace")).toEqual(["base", "ray", "workspace"]);
    expect(lineage("base")).toEqual(["base"]);
    expect(() => lineage("toString")).toThrow(/There is no image "toString". Known: base, node/);
  });

  it("takes modes from the content, not from the checkout", () => {
    writeFileSync(join(dir, "program"), "#!/bin/sh\n", { mode: 0o600 });
    writeFileSync(join(dir, "text"), "x", { mode: 0o777 });
    mkdirSync(join(dir, "__pycache__"));
    writeFileSync(join(dir, "__pycache__", "x.pyc"), "x");
    expect(recipeFiles(dir).map((file) => [file.path, file.mode])).toEqual([
      ["program", 0o755],
      ["text", 0o644],
    ]);
  });
});

describe("a file that recipes share", () => {
  const shared = NAMES.flatMap((name) => (IMAGES[name]?.shared ?? []).map((path) => ({ name, path })));

  it.each(shared)(
    "is the other one's as it is, and is part of the image: $path in $name",
    ({ name, path }) => {
      const [owner = "", file] = path.split("/");
      const mine = contextFiles(name).filter((one) => one.path === file);
      expect(mine).toEqual(recipeFiles(imageDir(owner)).filter((one) => one.path === file));
      expect(mine).toHaveLength(1);
      expect(recipeFiles(imageDir(name)).map((one) => one.path)).not.toContain(file);
    },
  );
});

describe("operator's authorities", () => {
  it("are those of the named bundles that the distribution lacks, each once, sorted", () => {
    const distribution = join(dir, "distribution");
    mkdirSync(distribution);
    writeFileSync(join(distribution, "known.crt"), pem("known"));
    writeFileSync(join(dir, "a.pem"), `# a comment\n${pem("known")}${pem("own 1")}`);
    writeFileSync(join(dir, "b.pem"), `${pem("own 2")}${pem("own 1").replaceAll("\n", "\r\n")}`);
    const found = operatorAuthorities(
      { NODE_EXTRA_CA_CERTS: join(dir, "a.pem"), SSL_CERT_FILE: join(dir, "b.pem") },
      distribution,
    );
    expect(found.map((authority) => authority.fingerprint)).toEqual(
      readPem(pem("own 1") + pem("own 2"))
        .map((authority) => authority.fingerprint)
        .sort(),
    );
    expect(found.map((authority) => readPem(authority.pem)[0]?.fingerprint)).toEqual(
      found.map((authority) => authority.fingerprint),
    );
  });

  it("none are named: none", () => expect(operatorAuthorities({})).toEqual([]));

  it("a bundle that cannot be read is an error that names the variable", () => {
    expect(() => operatorAuthorities({ SSL_CERT_FILE: join(dir, "missing") })).toThrow(
      /^SSL_CERT_FILE names .*missing, which cannot be read \(ENOENT\)/,
    );
  });
});

describe("command line", () => {
  it("reads each command", () => {
    expect(readCommand(["build", "node", "--json"])).toMatchObject({ verb: "build", name: "node" });
    expect(readCommand(["push", "ray", "--registry=127.0.0.1:5001", "--stack", "dev"])).toEqual({
      verb: "push",
      name: "ray",
      options: { registry: "127.0.0.1:5001", stack: "dev" },
    });
  });

  it.each([
    [["bake", "node"], /"bake" is no command. Allowed: build, hash, push, send, remove/],
    [[], /a command is missing/],
    [["build", "nodes"], /"nodes" is no image. Allowed, one of: base, node/],
    [["build"], /no image is named/],
    [["push", "ray", "--stack", "dev"], /--registry is missing/],
    [["push", "ray", "--registry", "x", "--stack", "dev"], /"x" is no address. Allowed: HOST:PORT/],
    [["remove", "ray"], /--stack is missing/],
    [["remove", "ray", "--stack", "../a"], /is not a stack's name/],
    [["build", "ray", "--stack", "dev"], /--stack is not for this command/],
    [["build", "ray", "--force"], /"--force" is not an option/],
  ])("refuses %j", (argv, message) => expect(() => readCommand(argv)).toThrow(message));

  it("an account's errors never hold what was given", () => {
    for (const text of ["", "hunter2", '{"username":"u"}', '{"username":"a:b","password":"hunter2"}']) {
      let message = "";
      try {
        readAccount(text);
      } catch (error) {
        message = String(error);
      }
      expect(message).toMatch(/image.mjs push/);
      expect(message).not.toContain("hunter2");
    }
    expect(readAccount('{"username":"u","password":"p"}')).toEqual({ username: "u", password: "p" });
  });
});

describe("build settings", () => {
  it("passes on only what the Dockerfile declares, and the proxies", async () => {
    const env = {
      PIP_INDEX_URL: "https://pip.example",
      NPM_CONFIG_REGISTRY: "https://npm.example",
      http_proxy: "p",
    };
    expect(await buildSettings("FROM x\nARG PIP_INDEX_URL\n", env)).toEqual({
      PIP_INDEX_URL: "https://pip.example",
      http_proxy: "p",
    });
  });

  it("refuses a Debian mirror with a password, without showing it", async () => {
    const env = { BERTH_APT_MIRROR: "https://u:hunter2@deb.example/debian" };
    const error = await buildSettings("ARG BERTH_APT_MIRROR=\n", env).catch(String);
    expect(error).toMatch(/BERTH_APT_MIRROR holds a user name or password/);
    expect(error).not.toContain("hunter2");
  });
});

describe("stages", () => {
  it("are each a Dockerfile with the common head; the last and those that need another are none", () => {
    const head = "# what it is\nARG PARENT\n";
    const one = "FROM x AS one\nRUN a\n";
    const text = `${head}${one}FROM one AS two\nCOPY --from=one /a /a\nFROM ${"$"}{PARENT}\nRUN b\n`;
    expect(stagesOf(text)).toEqual([{ name: "one", text: head + one }]);
  });
});

describe("lock", () => {
  it("lets one in at a time, and takes over a dead holder's", async () => {
    const path = join(dir, "lock");
    writeFileSync(path, JSON.stringify({ pid: 2 ** 22 + 1, identity: "gone" }));
    let inside = 0;
    let most = 0;
    const work = async () => {
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setTimeout(resolve, 20));
      inside--;
    };
    await Promise.all([1, 2, 3].map(() => withLock(path, () => {}, work)));
    expect(most).toBe(1);
  });
});

describe.each(NAMES)("recipe of %s", (name) => {
  const dockerfile = readFileSync(join(imageDir(name), "Dockerfile"), "utf8");

  it("keeps package registries' addresses out of the last stage's history", () => {
    const last = dockerfile.slice(dockerfile.lastIndexOf("\nFROM "));
    expect(last).not.toMatch(/^ARG (PIP_|NPM_|GOPROXY|GOSUMDB)/m);
  });

  it("copies what stands beside it", () => {
    const there = contextFiles(name).map(({ path }) => path);
    const sources = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, text = ""]) =>
      text.split(" "),
    );
    for (const source of sources)
      expect(
        there.some((path) => path === source || (source.endsWith("/") && path.startsWith(source))),
        source,
      ).toBe(true);
  });

  it("needs no BuildKit", () => {
    expect(dockerfile).not.toMatch(/--mount=|<<|COPY --(chmod|link)|^# syntax/m);
  });

  it("has shell and Python files that parse", () => {
    const python: string[] = [];
    for (const file of recipeFiles(imageDir(name))) {
      const first = file.content.toString("utf8").split("\n", 1)[0] ?? "";
      const path = join(imageDir(name), file.path);
      if (/^#!\/bin\/(ba)?sh/.test(first)) {
        execFileSync(first.includes("bash") ? "bash" : "sh", ["-n", path], { stdio: "pipe" });
      } else if (file.path.endsWith(".py")) {
        python.push(path);
      }
    }
    // One interpreter for all of them: its start takes longer than the parsing.
    const parse = "import ast,sys; [ast.parse(open(path).read(), path) for path in sys.argv[1:]]";
    execFileSync("python3", ["-c", parse, ...python], { stdio: "pipe" });
  });

  it("pins every Python package by version and hash", () => {
    for (const file of recipeFiles(imageDir(name)).filter((one) => one.path === "requirements.txt")) {
      const packages = file.content.toString("utf8").split(/\n(?=[a-z0-9])/);
      for (const one of packages)
        expect(one).toMatch(/^[a-z0-9._-]+(\[[a-z,]+\])?==\S+ .*\n\s+--hash=sha256:/);
    }
  });

  it.skipIf(missing("shellcheck"))("passes shellcheck", () => {
    for (const file of recipeFiles(imageDir(name))) {
      const text = file.content.toString("utf8");
      if (/^#!\/bin\/(ba)?sh/.test(text)) expect(shellcheck(text), file.path).toBe("");
    }
  });
});
