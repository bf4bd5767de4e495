/**
 * The storage stage's mounts and the guard together, on real mounts, in a mount namespace of its own.
 * Proves: what is mounted there rightly stays under whoever works in it; the guard gives way to what the configuration
 * wants mounted, and comes back; runs that change nothing say so; dockerd and the guard wait for the right mounts.
 * Does not prove a real boot, nor devices and NFS.
 */
import { describe, expect, it } from "vitest";
import { guardProblems } from "../../components/host/preflight-storage";
import { fstabLibrary, type StorageOptions } from "../../components/host/storage";
import { guardRig } from "./guard-rig";

const { bash } = guardRig();
const plain = (): StorageOptions => ({});
const bound = ({ source }: { source: string }): StorageOptions => ({ bind: { homes: source } });
/** A run of a stage, and what it says it changed, one line. */
const RUN = `go() { "/run/$1" >/run/facts && python3 -c 'import json, sys; print(sys.argv[1], *[line for line in json.loads(open("/run/facts").read()[12:])["changed"] if "guard" in line or "mount" in line], sep="; ")' "$1" | tree; }`;

describe.skipIf(process.getuid?.() !== 0)("mounts and their guard", () => {
  it("change places: a folder that was guarded gets its mount, and is guarded again when that goes", async () => {
    const said = await bash(
      `${RUN}
       go plain; go plain
       echo here >"$source/file"
       go bound; cat "$root/homes/file"; options "$source"; go bound
       go plain; go plain; mounts; options "$root/homes"`,
      false,
      { plain, bound },
    );
    expect(said).toEqual([
      expect.stringMatching(/^plain; .*guarded TREE\/docker-volumes; guarded TREE\/homes;/),
      "plain",
      expect.stringMatching(/^bound; .*guarded SOURCE; mounted TREE\/homes$/),
      "here",
      "nodev,nosuid,rw",
      "bound",
      expect.stringMatching(/^plain; .*guarded TREE\/homes; unmounted TREE\/homes$/),
      "plain",
      "homes workspaces docker-volumes shared ",
      "nodev,nosuid,rw",
    ]);
  });

  it("have the options back by the next run of the stage, which says so, when somebody took them away", async () => {
    const said = await bash(
      `${RUN}
       go bound >/dev/null
       mount -o remount,bind,suid,dev none "$root/homes"
       umount "$root/shared"
       go bound; options "$root/homes"; options "$root/shared"; go bound`,
      false,
      { bound },
    );
    expect(said).toEqual([
      expect.stringMatching(/^bound; .*guarded TREE\/homes.*guarded TREE\/shared$/),
      "nodev,nosuid,rw",
      "nodev,nosuid,rw",
      "bound",
    ]);
  });

  it("leave the right mount where it is that somebody put over a bind of the guard's", async () => {
    const said = await bash(
      `${RUN}
       "$guard" on >/dev/null
       echo there >"$source/file"
       mount --bind "$source" "$root/homes"
       cd "$root/homes"
       go bound; cat "$root/homes/file"
       go bound; cat "$root/homes/file"`,
      false,
      { bound },
    );
    expect(said).toEqual([expect.not.stringContaining("mounted TREE"), "there", "bound", "there"]);
  });

  it("refuse another mount, leave it where it is, and leave nothing open", async () => {
    const said = await bash(
      `${RUN}
       "$guard" on >/dev/null
       mount -t tmpfs other "$root/homes"; echo other >"$root/homes/file"
       if go bound 2>/run/said; then echo taken; else echo refused; fi
       grep -c 'holds another mount: other. Unmount that first' /run/said
       cat "$root/homes/file"; options "$root/homes"; mounts`,
      false,
      { bound },
    );
    expect(said).toEqual([
      "refused",
      "1",
      "other",
      "nodev,nosuid,rw",
      "homes workspaces docker-volumes shared",
    ]);
  });

  it("change nothing, run after run, while what left the configuration is in use", async () => {
    const said = await bash(
      `${RUN}
       go bound >/dev/null
       mkdir "$root/homes/below"; cd "$root/homes/below"
       go plain >/dev/null; go plain; go plain
       unshare -m --propagation private sleep 100 & pids="$pids $!"
       until [ "$(readlink "/proc/$!/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]; do sleep 0.1; done
       cd /; go plain
       kill "$!"; wait "$!" || true; go plain`,
      false,
      { plain, bound },
    );
    // In use by who works in it, then by a container.
    expect(said).toEqual([
      "plain",
      "plain",
      "plain",
      expect.stringMatching(/^plain; guarded TREE\/homes; unmounted TREE\/homes$/),
    ]);
  });

  it("are waited for by the guard and by dockerd, where they really are", async () => {
    const after = `for unit in berth-storage.service docker.service.d/10-berth-storage.conf; do
        for path in "$@"; do
          if ! grep -e '^After=' "$units/$unit" | tr ' =' '\\n\\n' | grep -q -x -F -e "$(systemd-escape -p --suffix=mount "$path")"; then echo "$unit misses $path"; fi
        done
      done`;
    const said = await bash(
      `mv "$root" "$keep/data-1"; ln -s data-1 "$root"
       rmdir "$keep/data-1/shared"; mkdir "$keep/a b"; ln -s "$keep/a b" "$keep/data-1/shared"
       /run/bound >/run/facts
       set -- "$keep" "$root" "$root/homes" "$root/shared" "$source" "$keep/data-1" "$keep/data-1/homes" "$keep/data-1/docker-volumes" "$keep/a b" /tmp
       ${after}
       grep -c ExecStart "$units/berth-storage.service" "$units/docker.service.d/10-berth-storage.conf" | sed 's|.*:||'
       systemd-analyze --man=no --generators=no verify "$units/berth-storage.service" 2>&1 | grep -e 'berth-storage.*\\(Failed\\|Invalid\\|ignor\\)' || true`,
      false,
      { bound },
    );
    expect(said).toEqual(["1", "1"]);
  });

  it("are compared with the operator's fstab without asking what is away", async () => {
    const said = await bash(
      `mkdir "$keep/nas"; dead "$keep/nas"; ln -s "$root/shared" "$keep/link"
       printf '%s\\n' "nas:/x $keep/nas nfs hard 0 0" "nas:/y $keep/nas/deeper nfs hard 0 0" "UUID=x $keep/link ext4 defaults 0 2" >$fstab
       ${fstabLibrary}
       began=$SECONDS
       theirs | places >/run/places
       for place in "$root/homes" "$root/shared" "$keep/nas" "$keep/nas/deeper"; do
         if in_fstab "$place" /run/places; then echo taken; else echo free; fi
       done
       if [ "$((SECONDS - began))" -lt 30 ]; then echo soon; else echo "after $((SECONDS - began)) s"; fi`,
    );
    expect(said).toEqual(["free", "taken", "taken", "taken", "soon"]);
  });

  it.each([
    ["with plain folders", "", []],
    [
      "where fstab names one that is not mounted",
      'echo "nas:/x $root/homes nfs nofail 0 0" >$fstab',
      [
        "TREE/homes is not guarded: /etc/fstab mounts something there, and it is not mounted. Mount it: mount TREE/homes",
      ],
    ],
    [
      "where one does not take the options",
      `mkdir /run/bin; cp /usr/bin/mount "$keep/mount"
       printf '#!/bin/bash\\nfor last; do :; done\\ncase "$1 $2 $last" in "-o "*nosuid*/shared) exit 1 ;; esac\\nexec %s "$@"\\n' "$keep/mount" >"$keep/wrong"
       chmod 755 "$keep/wrong"; mount --bind "$keep/wrong" /usr/bin/mount`,
      ["TREE/shared could not be mounted with nosuid and nodev"],
    ],
  ])("are tried by the preflight, which changes nothing: %s", async (_, before, expected) => {
    const said = await bash(
      `${before}
       work=$keep/work; mkdir "$work"; : >"$work/problems"
       problem() { printf '%s\n' "$*" >>"$work/problems"; }
       cp /proc/self/mountinfo "$keep/before"
       cat >"$keep/trial" <<'TRIAL_ENDS'
${guardProblems({ root: "/trial" })}
TRIAL_ENDS
       sed -i "s|/trial/|$root/|g" "$keep/trial"
       . "$keep/trial"
       tree <"$work/problems"
       cmp "$keep/before" /proc/self/mountinfo; ls /run | grep guarded || true`,
    );
    expect(said).toEqual(
      expected.length === 0
        ? [""]
        : expected.map((line) => `what people write has to be mounted nosuid and nodev. ${line}`),
    );
  });
});
