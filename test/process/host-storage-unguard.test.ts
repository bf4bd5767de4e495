/**
 * How the guard of what people write is undone, on real mounts, in a mount namespace of its own.
 * Proves: its binds go and nothing else does, whatever is mounted above or below them and whoever is in them; each goes
 * that can; mounts of others get their options back.
 */
import { describe, expect, it } from "vitest";
import { guardRig } from "./guard-rig";

const { bash } = guardRig();

describe.skipIf(process.getuid?.() !== 0)("the guard, taken away", () => {
  it("takes its binds away: one, or all of them, and no mount of others", async () => {
    const said = await bash(`
      mount -t tmpfs whole "$root/workspaces"
      "$guard" on >/dev/null
      "$guard" off "$root/homes" | tree; mounts
      "$guard" off >/dev/null; mounts
      "$guard" on >/dev/null; mounts`);
    expect(said).toEqual([
      "released TREE/homes",
      "workspaces docker-volumes shared ",
      "workspaces ",
      "homes workspaces docker-volumes shared",
    ]);
  });

  it.each([
    ["another file system", `mount -t tmpfs real "$root/homes"`],
    ["another folder of the same", `mount --bind "$source" "$root/homes"`],
  ])("leaves what was mounted over a bind, and takes that when the other is gone: %s", async (_, over) => {
    const said = await bash(`
      "$guard" on >/dev/null
      ${over}; echo real >"$root/homes/file"
      "$guard" off "$root/homes"; cat "$root/homes/file"
      "$guard" off >/dev/null; cat "$root/homes/file"
      umount "$root/homes"; mounts
      "$guard" off >/dev/null; mounts; wc -l </run/berth-guarded`);
    expect(said).toEqual(["real", "real", "homes ", "", "0"]);
  });

  it.each(["private", "shared"])("leaves what was mounted below before, among %s mounts", async (kind) => {
    const said = await bash(`
      mount --make-${kind} "$keep"
      mkdir "$root/shared/nas"; mount -t tmpfs nas "$root/shared/nas"; mkdir "$root/shared/nas/deep"
      mount -t tmpfs deep "$root/shared/nas/deep"; echo there >"$root/shared/nas/deep/file"
      "$guard" on >/dev/null
      "$guard" off >/dev/null; echo "left: $(mounts)"
      cat "$root/shared/nas/deep/file"; options "$root/shared/nas"
      grep -c -F " $root/shared" /proc/self/mountinfo`);
    expect(said).toEqual(["left: ", "there", "rw", "2"]);
  });

  it("leaves a mount that came later and has no place but on a bind, says so, and takes the others", async () => {
    const said = await bash(`
      "$guard" on >/dev/null
      mkdir "$root/shared/late"; mount -t tmpfs late "$root/shared/late"; echo there >"$root/shared/late/file"
      if "$guard" off >/dev/null 2>/run/said; then echo all; else echo "code $?"; fi
      tree </run/said; mounts; cat "$root/shared/late/file"
      umount "$root/shared/late"
      "$guard" off | tree; mounts`);
    expect(said).toEqual([
      "code 1",
      "TREE/shared stays bound to itself: TREE/shared/late is mounted on it",
      "shared ",
      "there",
      "released TREE/shared",
    ]);
  });

  it("goes on where somebody is in one, and takes that one later", async () => {
    const said = await bash(`
      "$guard" on >/dev/null
      cd "$root/docker-volumes"
      if "$guard" off >/dev/null 2>&1; then echo all; else echo "code $?"; fi
      mounts
      cd /; "$guard" off | tree`);
    expect(said).toEqual(["code 1", "docker-volumes ", "released TREE/docker-volumes"]);
  });

  it("gives mounts of others the options back that they had, unless it is another mount by now", async () => {
    const said = await bash(`
      mount -t tmpfs -o noexec one "$root/homes"; mount -t tmpfs -o nosuid two "$root/workspaces"
      mount -t tmpfs -o nosuid,nodev three "$root/shared"; mount -t tmpfs old "$root/docker-volumes"
      mkdir /run/new; mount -t tmpfs -o nosuid,nodev new /run/new
      "$guard" on >/dev/null; "$guard" start
      umount "$root/docker-volumes"; mount --bind /run/new "$root/docker-volumes"
      "$guard" off "$root"; options "$root/homes"
      "$guard" off | tree
      for at in homes workspaces shared docker-volumes; do options "$root/$at"; done
      "$guard" off
      "$guard" on | wc -l; options "$root/homes"`);
    expect(said).toEqual([
      "nodev,noexec,nosuid,rw",
      "given back TREE/homes",
      "given back TREE/workspaces",
      "noexec,rw",
      "nosuid,rw",
      "nodev,nosuid,rw",
      "nodev,nosuid,rw",
      "2",
      "nodev,noexec,nosuid,rw",
    ]);
  });

  it("takes back, of a run that was cut, what was bound and what was only written down", async () => {
    const said = await bash(`
      # Cut behind the bind, before its options.
      mkdir /run/bin; printf '#!/bin/bash\\n/usr/bin/mount "$@"\\ncase $1 in --rbind) kill -KILL $PPID ;; esac\\n' >/run/bin/mount
      chmod 755 /run/bin/mount; sed 's|PATH=|PATH=/run/bin:|' "$guard" >/run/cut; chmod 755 /run/cut
      (/run/cut on || true) >/dev/null 2>&1; mounts
      "$guard" off | tree; mounts
      echo "$root/homes" >/run/berth-guarded
      "$guard" off; wc -l </run/berth-guarded`);
    expect(said).toEqual(["homes ", "released TREE/homes", "", "0"]);
  });

  it("takes the bind of a folder away that nobody asks it to guard any more", async () => {
    const said = await bash(`
      "$guard" on >/dev/null
      sed -i "s|$root/shared|$source|" "$guard"; "$guard" start | tree; mounts`);
    expect(said).toEqual(["guarded SOURCE", "homes workspaces docker-volumes"]);
  });
});
