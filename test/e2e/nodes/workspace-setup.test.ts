/**
 * The programs of a person's set-up for real: in a workspace container, with apt, PyPI, git, chezmoi and tmux.
 */
import { spawnSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderSetup, type SetupConfig } from "../../../components/workspace/setup";
import { bash, FakeNode, parseSetupFacts } from "../../fakes/workspace-node";
import { buildImage, docker } from "../../lib/docker";
import { MINUTE } from "../../lib/time";
import { workspaceRig } from "./workspace-image-rig";

const { ID, cleanUp, healthy, layOut, startWorkspace } = workspaceRig("10.213.78");
const container = `${ID}-alice`;
const user = "alice";
const home = `/home/${user}`;
const repositories = "/tmp/berth-setup-repositories";

function inside(script: string, as = user): string {
  const done = spawnSync(
    "docker",
    ["exec", "-u", as, "-e", `HOME=${home}`, container, "bash", "-c", script],
    {
      encoding: "utf8",
    },
  );
  if (done.status !== 0) throw new Error(`${script}: ${done.stderr}`);
  return done.stdout.trimEnd();
}

/** A commit on `main` of a bare repository in the container: each name with its content. */
function commit(repository: string, files: Record<string, string>): void {
  const identity = "-c user.name=t -c user.email=t@example.org";
  const writes = Object.entries(files).map(([name, text]) => `printf '%s\\n' '${text}' >'${name}'`);
  inside(
    `set -e; d=$(mktemp -d); [ -d ${repositories}/${repository} ] || git init -q --bare -b main ${repositories}/${repository}
     git clone -q ${repositories}/${repository} "$d" 2>/dev/null; cd "$d"; git checkout -q -B main
     ${writes.join("; ")}; git add -A; git ${identity} commit -q -m change; git push -q origin main; rm -rf "$d"`,
  );
}

describe("a set-up in a workspace", () => {
  const node = new FakeNode();
  const secret = `hunter2 'q' $(id)\nsecond`;
  const setup: SetupConfig = {
    credentials: { TOKEN: secret, OLD: "x" },
    aptPackages: ["tree"],
    dotfiles: { repository: `${repositories}/dotfiles.git` },
    git: { name: "Alice O'Neil", email: "a@example.org", config: { "alias.st": "-c status" } },
    repositories: [{ url: `file://${repositories}/project.git` }],
    python: { packages: ["rich==13.*"], requirements: "~/workspace/project/requirements.txt" },
    services: [
      { name: "exec", command: 'printf %s "$TOKEN" >~/seen; exec sleep 100000', cwd: "~/workspace/project" },
      { name: "server", command: "exec sleep 100001" },
    ],
  };

  function run(config: SetupConfig) {
    const { command, stdin } = renderSetup({
      user,
      node: "node-0",
      container,
      setup: config,
      paths: node.paths,
    });
    return bash(command, stdin, { PATH: process.env.PATH, HOME: node.root, SHLVL: "2" }, 10 * MINUTE);
  }
  function statuses(config: SetupConfig): Record<string, string> {
    const done = run(config);
    expect(done.stderr).toBe("");
    const { steps } = parseSetupFacts(done.stdout);
    return Object.fromEntries(steps.map(({ name, status }) => [name.split(" ")[0], status]));
  }

  beforeAll(async () => {
    await layOut();
    await startWorkspace((await buildImage("workspace")).ref);
    await healthy("alice");
    inside("rm -f ~/.bashrc; echo original >~/.bashrc");
    commit("dotfiles.git", { dot_bashrc: "one", dot_vimrc: "one" });
    commit("project.git", { "requirements.txt": "six" });
  });
  afterAll(async () => {
    node.remove();
    await cleanUp("alice");
  });

  it("furnishes it, and a second time changes nothing, quickly", { timeout: 10 * MINUTE }, () => {
    expect(new Set(Object.values(statuses(setup)))).toEqual(new Set(["changed"]));
    const began = Date.now();
    expect(new Set(Object.values(statuses(setup)))).toEqual(new Set(["unchanged"]));
    expect(Date.now() - began).toBeLessThan(15_000);
    expect(node.logText()).not.toContain("hunter2");
  });

  it("left what was asked for", () => {
    expect(inside('stat -c "%a %U" ~/.env; . ~/.env; printf "%s" "$TOKEN"')).toBe(`600 ${user}\n${secret}`);
    expect(inside("git config user.name; git config alias.st; test ! -e ~/.gitconfig")).toBe(
      "Alice O'Neil\n-c status",
    );
    expect(inside("cat ~/.bashrc ~/.local/state/berth/dotfiles-before/.bashrc")).toBe("one\noriginal");
    expect(inside("~/venv/bin/python -c 'import rich, six; print(six.__name__)'")).toBe("six");
    expect(inside("command -v tree; cat ~/workspace/project/requirements.txt")).toBe("/usr/bin/tree\nsix");
    expect(inside("tmux ls -F '#{session_name}'; cat ~/seen")).toBe(`exec\nserver\n${secret}`);
  });

  it("keeps the person's work", { timeout: 2 * MINUTE }, () => {
    inside("echo edited >>~/.bashrc; echo mine >>~/workspace/project/requirements.txt; echo MINE=1 >>~/.env");
    const before = inside(
      "git -C ~/workspace/project rev-parse HEAD; tmux display -p -t =server: '#{pane_pid}'",
    );
    commit("dotfiles.git", { dot_bashrc: "two", dot_vimrc: "two", dot_inputrc: "two" });
    commit("project.git", { "requirements.txt": "attrs" });
    inside(
      "sed -i '/^mine$/d' ~/workspace/project/requirements.txt; echo '# mine' >>~/workspace/project/requirements.txt",
    );
    const done = run({ ...setup, services: setup.services?.slice(1) });
    const { steps } = parseSetupFacts(done.stdout);
    expect(steps.find((step) => step.name.startsWith("dotfiles"))).toMatchObject({
      status: "changed",
      note: "kept: .bashrc",
    });
    expect(inside("cat ~/.bashrc ~/.vimrc ~/.inputrc")).toBe("one\nedited\ntwo\ntwo");
    expect(inside("cat ~/workspace/project/requirements.txt; tail -n 1 ~/.env")).toBe("six\n# mine\nMINE=1");
    expect(inside("tmux ls -F '#{session_name}'")).toBe("server");
    expect(
      inside("git -C ~/workspace/project rev-parse HEAD; tmux display -p -t =server: '#{pane_pid}'"),
    ).toBe(before);
  });

  it("starts the services again with the container", { timeout: 3 * MINUTE }, async () => {
    await docker("restart", "--time", "30", container);
    await healthy("alice");
    expect(inside("tmux ls -F '#{session_name}'")).toBe("server");
    expect(inside("berth-services sync")).toBe("unchanged");
  });

  it("names each step that fails, and does the others", { timeout: 2 * MINUTE }, () => {
    inside("rm ~/.inputrc; mkdir -p ~/workspace/other; touch ~/workspace/other/mine");
    const done = run({
      aptPackages: ["berth-no-such-package"],
      repositories: [
        { url: "/nowhere/at-all.git" },
        { url: `${repositories}/project.git`, path: "~/workspace/other" },
        { url: `${repositories}/project.git`, path: "~/workspace/third" },
      ],
      python: { requirements: "~/workspace/at-all/requirements.txt" },
    });
    expect(done.status).toBe(1);
    for (const text of [
      /step "apt packages" failed \(exit \d+\): .*berth-no-such-package/,
      /step "clone \/nowhere\/at-all.git" failed \(exit 128\): .*does not exist/,
      /step "clone .* to ~\/workspace\/other" failed \(exit 1\): .*is there and is no clone/,
      /step "python" failed \(exit 1\): .*is not there: is its repository cloned/,
    ])
      expect(done.stderr).toMatch(text);
    expect(done.stderr.match(/^set-up of /gm)).toHaveLength(4);
    expect(inside("ls -A ~/workspace ~/workspace/other; cat ~/workspace/third/requirements.txt")).toMatch(
      /other\nproject\nthird\n\n.*other:\nmine\nattrs$/,
    );
  });

  it("takes back what is its own alone, when all is gone from the configuration", {
    timeout: MINUTE,
  }, () => {
    const { credentials, git, services } = setup;
    const all = { credentials: "changed", git: "changed", services: "changed" };
    expect(statuses({ credentials, git, services })).toEqual(all);
    expect(statuses({})).toEqual(all);
    expect(inside("cat ~/.env")).toBe("MINE=1");
    expect(inside("git config user.name || echo none; tmux ls 2>/dev/null || echo none")).toBe("none\nnone");
    expect(inside("ls -d ~/venv ~/.vimrc ~/workspace/project | wc -l")).toBe("3");
  });
});
