/** Containers that should run and do not, before a preview and an `up`: asked for, told, and brought back. */
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CONTAINER_FORMAT } from "../../../scripts/lib/containers.mjs";
import { probeScript, readProbe } from "../../../scripts/lib/live.mjs";
import { places } from "../../../scripts/lib/paths.mjs";
import { planOptions, update } from "../../../scripts/lib/up.mjs";
import { deployment, line } from "./down-helpers.mjs";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-down-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A stand-in for a program. */
function program(name: string, text: string): void {
  mkdirSync(join(folder, "bin"), { recursive: true });
  writeFileSync(join(folder, "bin", name), `#!/bin/bash\n${text}\n`);
  chmodSync(join(folder, "bin", name), 0o755);
}

describe("the script that nodes run", () => {
  /** A docker that knows the template well enough to be given one line for each id. */
  const docker = (lines: string, ids = "one two") => `
case $1 in
  ps) printf '%s\\n' ${ids};;
  inspect) [ "$5" = '${CONTAINER_FORMAT}' ] || exit 9; shift 5; [ "$*" = "${ids}" ] || exit 8; printf '%s' '${lines}';;
esac`;
  const ran = () =>
    execFileSync("bash", ["-s"], {
      input: probeScript("dev", false),
      encoding: "utf8",
      env: { PATH: `${join(folder, "bin")}:/usr/bin:/bin` },
    });

  it("asks for each container's end and Docker's words, and is read back", () => {
    const error = JSON.stringify('could not select\tdevice driver "cdi"');
    program(
      "docker",
      docker(
        `${line("ray", "system\tray", "running")}\n${line("alice", "alice\tworkspace", "exited", `\t128\tfalse\t2026-11-29T10:00:00Z\t${error}`)}\n`,
        "ray-id alice-id",
      ),
    );
    const answer = readProbe(ran());
    expect(answer?.containers).toMatchObject([
      { id: "ray-id", name: "berth-dev-ray", component: "ray", state: "running", health: "", error: "" },
      { owner: "alice", state: "exited", exitCode: 128, error: 'could not select\tdevice driver "cdi"' },
    ]);
  });
  it("ends well where there is no container, and where one goes meanwhile", () => {
    program("docker", "exit 0");
    expect(readProbe(ran())).toEqual({ containers: [], rayNodes: null });
    program("docker", `${docker(`${line("one", "system\tray", "running")}\n`)}\n[ "$1" = ps ]`);
    const states = readProbe(ran())?.containers.map(({ id, state }) => [id, state]);
    expect(states).toEqual([
      ["one-id", "running"],
      ["one", "unknown"],
      ["two", "unknown"],
    ]);
  });
  it("brings what berthd holds back", () => {
    const held = { containers: [{ container: "alice-id", name: "x", user: "alice", why: "busy", next: 5 }] };
    const text = `H\t${Buffer.from(JSON.stringify(held)).toString("base64")}\nEND\n`;
    expect(readProbe(text)?.heldBack).toEqual(held.containers);
    for (const broken of ["H\t\nEND\n", "H\tnonsense\nEND\n", "H\te30=\nEND\n"])
      expect(readProbe(broken)?.heldBack).toEqual([]);
  });
});

describe("before a preview and an up", () => {
  const at = () =>
    places({ HOME: folder, BERTH_HOME: join(folder, "home"), BERTH_CACHE: join(folder, "cache") });
  const where = () => ({
    at: at(),
    env: { PATH: `${join(folder, "bin")}:/usr/bin:/bin`, PULUMI_HOME: join(folder, "pulumi") },
    cwd: folder,
  });
  const said = (file: string) => {
    try {
      return readFileSync(join(folder, file), "utf8").trim().split("\n");
    } catch {
      return [];
    }
  };
  const notes: string[] = [];
  const note = (text: string) => notes.push(text);

  const answers = (lines: Record<string, string>) => {
    for (const [name, text] of Object.entries(lines)) writeFileSync(join(folder, `said-${name}`), text);
  };

  /** A stack in Berth's own backend; its nodes and engine answer with these lines, by address. */
  function stack(plugin: "ours" | "official", lines: Record<string, string>): void {
    notes.length = 0;
    const states = join(at().state, ".pulumi/stacks/berth");
    mkdirSync(states, { recursive: true });
    writeFileSync(join(states, "dev.json"), JSON.stringify({ checkpoint: { latest: deployment } }));
    const plugins = join(folder, "pulumi/plugins/resource-docker-v5.2.0");
    mkdirSync(plugins, { recursive: true });
    writeFileSync(join(plugins, "pulumi-resource-docker"), plugin === "ours" ? "#!/bin/sh\n" : "\x7fELF");
    answers(lines);
    program(
      "ssh",
      `address=\${@: -2:1}; address=\${address#*@}; command=\${@: -1}
if [ "$command" = "bash -s" ]; then [ -e ${folder}/said-$address ] || { echo no route >&2; exit 255; }; cat ${folder}/said-$address; echo END
else echo "$address $command" >>${folder}/told; fi`,
    );
    program(
      "docker",
      `case "$3" in ps) cut -f 2 ${folder}/said-engine; cat ${folder}/listed 2>/dev/null || true;; inspect) cat ${folder}/said-engine;; *) echo "engine $*" >>${folder}/told;; esac`,
    );
    program("pulumi", `echo "$*" >>${folder}/pulumi-calls`);
  }
  const well = {
    engine: `${line("registry", "system\tregistry", "running")}\n${line("node-1", "system\tnode", "running")}\n`,
    "10.88.0.10": `${line("ray-0", "system\tray", "running")}\n${line("alice", "alice\tworkspace", "running")}\n`,
    "10.88.0.11": `${line("ray-1", "system\tray", "running")}\n`,
  };
  const broken = {
    ...well,
    engine: `${line("node-1", "system\tnode", "running")}\n`,
    "10.88.0.10": `${line("ray-0", "system\tray", "paused")}\n${line("alice", "alice\tworkspace", "exited", '\t3\tfalse\t2026-11-29T10:00:00Z\t""')}\n`,
  };

  /** An update whose Pulumi writes down how it is called. */
  async function up(
    answer: "agreed" | "yes" | "no" = "agreed",
    code = 0,
    meanwhile = () => {},
    chosen = false,
  ) {
    /** What the question is about: whether something that is down is brought back too. */
    const asked: boolean[] = [];
    const done = await update(where(), "dev", note, {
      agreed: answer === "agreed",
      chosen,
      ask: async (down) => {
        asked.push(down);
        // Nothing is done before the answer.
        expect([
          ...said("pulumi-calls").filter((call) => call.startsWith("refresh")),
          ...said("told"),
        ]).toEqual([]);
        return answer === "yes";
      },
      pulumi: async (options) => {
        appendFileSync(join(folder, "pulumi-calls"), `up ${options.join(" ")}\n`);
        if (!options.includes("--preview-only")) meanwhile();
        return code;
      },
    });
    return { code: done, asked };
  }
  const preview = () => planOptions(where(), "dev", note);

  it("does nothing, and says nothing, while all run", async () => {
    for (const plugin of ["ours", "official"] as const) {
      stack(plugin, well);
      expect(await preview()).toEqual([]);
      expect(await up("no")).toEqual({ code: 1, asked: [false] });
      expect([notes, said("pulumi-calls").at(-1), said("told")]).toEqual([[], "up --preview-only", []]);
    }
  });

  it("asks nobody where there is no stack yet", async () => {
    stack("ours", {});
    rmSync(join(at().state, ".pulumi/stacks/berth/dev.json"));
    expect(await preview()).toEqual([]);
    await up();
    expect(notes).toEqual([]);
  });

  it("a preview reads everything anew, so that it shows the start", async () => {
    stack("ours", broken);
    expect(await preview()).toEqual(["--refresh"]);
    expect(notes).toEqual([
      "the registry is no longer there; the update brings it back",
      "Ray on node-0 is paused: docker unpause goes on with it; the update brings it back",
      "alice's workspace ended with status 3 at 2026-11-29T10:00:00Z; the update brings it back",
    ]);
    expect(said("pulumi-calls")).toEqual([]);
  });

  it("a preview with the official plugin, which would remove them, only tells", async () => {
    stack("official", broken);
    expect(await preview()).toEqual([]);
    expect(notes).toEqual([
      "the registry is no longer there; the update brings it back",
      "Ray on node-0 is paused: docker unpause goes on with it; it is started before the update",
      "alice's workspace ended with status 3 at 2026-11-29T10:00:00Z; it is started after the update",
    ]);
  });

  it("a preview does not fail for a node that is silent, but says so", async () => {
    stack("ours", broken);
    rmSync(join(folder, "said-10.88.0.11"));
    expect(await preview()).toEqual([]);
    expect(notes.join("\n")).toMatch(/not known: node-1 .*no route/);
    expect(notes).toHaveLength(4);
  });

  it("an up reads just those, and starts none of them itself", async () => {
    stack("ours", broken);
    await up();
    const [call = "", ...more] = said("pulumi-calls");
    expect(more).toEqual(["up --yes"]);
    expect(call).toMatch(/^refresh --stack dev --yes --skip-preview /);
    const targets = [...call.matchAll(/--target \S+::(\S+)/g)].map(([, name]) => name);
    expect(targets).toEqual(["registry", "ray-0", "alice"]);
    expect(said("told")).toEqual([]);
  });

  it("an up with the official plugin starts what is there, workspaces last, and reads what is not", async () => {
    stack("official", broken);
    await up("agreed", 0, () => expect(said("told")).toEqual(["10.88.0.10 docker unpause ray-0-id"]));
    expect(said("pulumi-calls")).toEqual([
      expect.stringMatching(/^refresh .*--target \S+::registry$/),
      "up --yes",
    ]);
    expect(said("told")).toEqual(["10.88.0.10 docker unpause ray-0-id", "10.88.0.10 docker start alice-id"]);
  });

  it.each([
    ["that the update brought back itself", 0, well],
    ["where the update failed", 1, broken],
  ] as const)("an up with the official plugin starts no workspace %s", async (_, code, then) => {
    stack("official", broken);
    expect((await up("agreed", code, () => answers(then))).code).toBe(code);
    expect(said("told")).toEqual(["10.88.0.10 docker unpause ray-0-id"]);
  });

  it.each(["ours", "official"] as const)(
    "an up shows the plan and does nothing before it is agreed to: %s",
    async (plugin) => {
      stack(plugin, broken);
      const shown = plugin === "ours" ? "up --preview-only --refresh" : "up --preview-only";
      expect(await up("no")).toEqual({ code: 1, asked: [true] });
      expect([said("pulumi-calls"), said("told")]).toEqual([[shown], []]);
      expect(await up("no", 255)).toEqual({ code: 255, asked: [] });
      rmSync(join(folder, "pulumi-calls"));
      expect(await up("yes")).toEqual({ code: 0, asked: [true] });
      const calls = said("pulumi-calls");
      expect(calls[0]).toBe(shown);
      expect(calls.slice(1)).toEqual([expect.stringMatching(/^refresh /), "up --yes --skip-preview"]);
    },
  );

  it("an up of what the operator chooses looks for nothing, and shows its plan before it asks", async () => {
    stack("ours", broken);
    expect(await up("yes", 0, () => {}, true)).toEqual({ code: 0, asked: [false] });
    expect([notes, said("pulumi-calls"), said("told")]).toEqual([
      [],
      ["up --preview-only", "up --yes --skip-preview"],
      [],
    ]);
  });

  const restarting = '\t1\tfalse\t2026-11-29T10:00:00Z\t""';
  it.each(["ours", "official"] as const)(
    "an up waits for no workspace that ends again and again: %s",
    async (plugin) => {
      const crashing = line("alice", "alice\tworkspace", "restarting", restarting);
      stack(plugin, { ...well, "10.88.0.10": `${line("ray-0", "system\tray", "running")}\n${crashing}\n` });
      expect(await preview()).toEqual([]);
      expect(await up("no")).toEqual({ code: 1, asked: [false] });
      expect([said("pulumi-calls"), said("told")]).toEqual([["up --preview-only"], []]);
      expect(notes.at(-1)).toMatch(
        /^alice's workspace .*again and again; it is tried again by itself, and the update does not/,
      );
    },
  );

  it("an up with the official plugin leaves to berthd what berthd holds back", async () => {
    const held = {
      containers: [{ container: "alice-id", name: "x", user: "alice", why: "its GPUs are not its own" }],
    };
    const text = `${broken["10.88.0.10"]}H\t${Buffer.from(JSON.stringify(held)).toString("base64")}\n`;
    stack("official", { ...broken, "10.88.0.10": text });
    await up();
    expect(said("told")).toEqual(["10.88.0.10 docker unpause ray-0-id"]);
    expect(notes.at(-1)).toMatch(
      /berthd holds it back: its GPUs are not its own; it is tried again by itself/,
    );
  });

  it.each(["ours", "official"] as const)(
    "an up removes nothing that Docker lists and does not describe: %s",
    async (plugin) => {
      stack(plugin, { ...well, engine: "", "10.88.0.10": "I\tray-0-id\nI\talice-id\n" });
      writeFileSync(join(folder, "listed"), "registry-id\nnode-1-id\n");
      expect(await preview()).toEqual([]);
      await up();
      expect([said("pulumi-calls"), said("told")]).toEqual([["up --yes"], []]);
      expect(notes.filter((text) => text.includes("could not be looked at"))).toHaveLength(8);
    },
  );

  it("an up goes on where that fails: what follows says more", async () => {
    stack("ours", broken);
    program("pulumi", "echo the plugin is gone >&2; exit 1");
    expect((await up()).code).toBe(0);
    expect(notes.at(-1)).toBe("what is down could not be read: the plugin is gone");
  });
});
