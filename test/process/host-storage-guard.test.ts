/**
 * The guard of what people write, on real mounts, in a mount namespace of its own.
 * Proves: a setuid program and a device below the tree give nothing; what was mounted there stays, with its other
 * options; a second run changes nothing; `off` takes the binds away. Containers and restarts: test/e2e.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { guardProgram } from "../../components/host/storage/guard";
import { run } from "../lib/run";

let folder: string;
let root: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-guard-"));
  root = join(folder, "tree");
  writeFileSync(join(folder, "guard"), guardProgram(root), { mode: 0o755 });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs bash among mounts that nobody else sees: a tree, a /run, and $guard. */
async function bash(script: string): Promise<string[]> {
  const before = `set -eu; root=${root} guard=${folder}/guard; mount -t tmpfs run /run
    mount -t tmpfs folder ${folder}/; mkdir -p "$root"/{homes,workspaces,docker-volumes,shared}`;
  // The program lies below the folder that the tree hides.
  const keep = `exec 9<${folder}/guard; `;
  const load = `cat <&9 >/run/guard; chmod 755 /run/guard; guard=/run/guard`;
  const args = ["-m", "--propagation", "private", "bash", "-c", `${keep}${before}; ${load}\n${script}`];
  const { code, text, stdout } = await run("unshare", args);
  expect(code, text).toBe(0);
  return stdout.trim().split("\n");
}

/** A program that says whose rights it has, called by an account without any. */
const SETUID = `cp /usr/bin/id "$place/x"; chmod 6755 "$place/x"; setpriv --reuid 65534 --regid 65534 --clear-groups "$place/x" -u -r; setpriv --reuid 65534 --regid 65534 --clear-groups "$place/x" -u`;

describe.skipIf(process.getuid?.() !== 0)("the guard", () => {
  it.each(["homes", "workspaces", "docker-volumes", "shared", "shared/deeper", "homes/a name"])(
    "keeps a setuid program and a device in %s from giving anything",
    async (name) => {
      const said = await bash(`
        place="$root/${name}"; mkdir -p "$place"; chmod -R 755 "$root"
        ${SETUID}
        "$guard" >/dev/null
        ${SETUID}
        mknod -m 666 "$place/null" c 1 3
        if true 2>/dev/null >"$place/null"; then echo opened; else echo refused; fi`);
      expect(said).toEqual(["65534", "0", "65534", "65534", "refused"]);
    },
  );

  it("keeps what is mounted there, with its other options, and guards it too", async () => {
    const said = await bash(`
      mkdir "$root/homes/a b" "$root/shared/own"
      mount -t tmpfs -o ro,noexec nested "$root/homes/a b"
      mount -t tmpfs whole "$root/workspaces"; echo there >"$root/workspaces/file"
      "$guard" >/dev/null
      cat "$root/workspaces/file"
      findmnt -n -o VFS-OPTIONS --mountpoint "$root/homes/a b" | tail -n 1 | tr , '\\n' | grep -x -e ro -e noexec -e nosuid -e nodev | sort | paste -s -d ,
      findmnt -n -o VFS-OPTIONS --mountpoint "$root/workspaces" | tr , '\\n' | grep -x -e rw -e nosuid -e nodev | sort | paste -s -d ,`);
    expect(said).toEqual(["there", "nodev,noexec,nosuid,ro", "nodev,nosuid,rw"]);
  });

  it("tells what it guarded, and nothing in a second run; a mount that comes later is guarded by the next", async () => {
    const said = await bash(`
      "$guard" | sed "s|$root|TREE|" | sort
      "$guard" | sed 's/^/again: /'
      mkdir "$root/shared/late"; mount -t tmpfs late "$root/shared/late"
      "$guard" | sed "s|$root|TREE|"`);
    expect(said).toEqual([
      "guarded TREE/docker-volumes",
      "guarded TREE/homes",
      "guarded TREE/shared",
      "guarded TREE/workspaces",
      "guarded TREE/shared/late",
    ]);
  });

  it("takes its binds away: one, or all of them, and no mount of others", async () => {
    const said = await bash(`
      mount -t tmpfs whole "$root/workspaces"
      "$guard" >/dev/null
      left() { for at in homes workspaces docker-volumes shared; do if mountpoint -q "$root/$at"; then printf '%s ' "$at"; fi; done; echo; }
      "$guard" off "$root/homes"; left
      "$guard" off; left
      "$guard" >/dev/null; left`);
    expect(said).toEqual([
      "workspaces docker-volumes shared ",
      "workspaces ",
      "homes workspaces docker-volumes shared",
    ]);
  });

  it("refuses another word than on and off", async () => {
    expect(await bash(`if "$guard" away 2>&1; then echo taken; else echo "code $?"; fi`)).toEqual([
      "usage: guard [on | off [PATH]]",
      "code 2",
    ]);
  });
});
