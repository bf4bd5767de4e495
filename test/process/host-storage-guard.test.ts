/**
 * The guard of what people write, on real mounts, in a mount namespace of its own.
 * Proves: a setuid program and a device below the tree give nothing, by whatever path one comes to them, nor do setgid and
 * capabilities of a file; what was mounted
 * there stays, with its other options; a second run changes nothing, and puts back what somebody took away; file systems that do not answer hold nothing up.
 * Does not prove the order of a real boot, nor that containers take the options over. How it is undone: host-storage-unguard.
 */
import { describe, expect, it } from "vitest";
import { guardRig } from "./guard-rig";

const { bash } = guardRig();

/** A program that says whose rights it has, called by an account without any. */
const SETUID = `cp /usr/bin/id "$place/x"; chmod 6755 "$place/x"; setpriv --reuid 65534 --regid 65534 --clear-groups "$place/x" -u -r; setpriv --reuid 65534 --regid 65534 --clear-groups "$place/x" -u`;
const DEVICE = `mknod -m 666 "$place/null" c 1 3; if true 2>/dev/null >"$place/null"; then echo opened; else echo refused; fi`;
/** The same of the group alone, and a program that reads everything: CAP_DAC_OVERRIDE, as vfs_cap_data of revision 2 has it. */
const SETGID = `cp /usr/bin/id "$place/g"; chmod 2755 "$place/g"; setpriv --reuid 65534 --regid 65534 --clear-groups "$place/g" -g`;
const CAPABLE = `cp /usr/bin/cat "$place/c"; echo secret >"$keep/roots"; chmod 600 "$keep/roots"
python3 -c 'import os, struct, sys; os.setxattr(sys.argv[1], "security.capability", struct.pack("<5I", 0x02000001, 2, 0, 0, 0))' "$place/c"
setpriv --reuid 65534 --regid 65534 --clear-groups "$place/c" "$keep/roots" 2>/dev/null || echo refused`;

/** Makes a place one where something is mounted when it is first used; nobody answers for it. */
const AUTOFS = `python3 -c '
import ctypes, os, sys
ends = os.pipe()
data = ("fd=%d,pgrp=%d,minproto=5,maxproto=5,direct" % (ends[1], os.getpgid(0))).encode()
sys.exit(ctypes.CDLL(None).mount(b"auto", sys.argv[1].encode(), b"autofs", 0, data))'`;

describe.skipIf(process.getuid?.() !== 0)("the guard", () => {
  it.each(["homes", "workspaces", "docker-volumes", "shared", "shared/deeper", "homes/a name"])(
    "keeps a setuid program and a device in %s from giving anything",
    async (name) => {
      const said = await bash(`
        place="$root/${name}"; mkdir -p "$place"; chmod -R 755 "$root"
        ${SETUID}
        "$guard" on >/dev/null
        ${SETUID}
        ${DEVICE}`);
      expect(said).toEqual(["65534", "0", "65534", "65534", "refused"]);
    },
  );

  it.each(["homes", "workspaces", "docker-volumes", "shared/deeper"])(
    "keeps a setgid program and one with capabilities in %s from giving anything",
    async (name) => {
      const said = await bash(`
        place="$root/${name}"; mkdir -p "$place"; chmod -R 755 "$root"
        ${SETGID}
        ${CAPABLE}
        "$guard" on >/dev/null
        ${SETGID}
        ${CAPABLE}`);
      expect(said).toEqual(["0", "secret", "65534", "refused"]);
    },
  );

  it.each([
    ["the root is a link", `mv "$root" "$keep/data"; ln -s "$keep/data" "$root"`, "$root/homes"],
    ["a folder is a link", `mv "$root/homes" "$keep/data"; ln -s "$keep/data" "$root/homes"`, "$root/homes"],
    [
      "… and one comes by the other path",
      `mv "$root/homes" "$keep/data"; ln -s ../data "$root/homes"`,
      "$keep/data",
    ],
    [
      "a link leads to a mount",
      `mkdir "$keep/data"; mount -t tmpfs d "$keep/data"; rmdir "$root/homes"; ln -s "$keep/data" "$root/homes"`,
      "$root/homes",
    ],
    ["the folder is a bind of another", `mount --bind "$source" "$root/homes"`, "$root/homes"],
    ["… and one comes by that other", `mount --bind "$source" "$root/homes"`, "$source"],
    [
      "what it is a bind of is a mount",
      `mount -t tmpfs s "$source"; mount --bind "$source" "$root/homes"`,
      "$source",
    ],
  ])("does so where %s", async (_, before, place) => {
    const said = await bash(
      `${before}; place=${place}; chmod -R 755 "$root" "$place"
       "$guard" on | wc -l
       ${SETUID}
       ${DEVICE}
       "$guard" on`,
      true,
    );
    expect(said.slice(1)).toEqual(["65534", "65534", "refused"]);
    expect(Number(said[0])).toBeGreaterThan(3);
  });

  it("keeps what is mounted there, with its other options, and guards it too", async () => {
    const said = await bash(`
      mkdir "$root/homes/a b" "$root/shared/own"
      mount -t tmpfs -o ro,noexec nested "$root/homes/a b"
      mount -t tmpfs whole "$root/workspaces"; echo there >"$root/workspaces/file"
      "$guard" on >/dev/null
      cat "$root/workspaces/file"
      options "$root/homes/a b"
      options "$root/workspaces"`);
    expect(said).toEqual(["there", "nodev,noexec,nosuid,ro", "nodev,nosuid,rw"]);
  });

  it("tells what it guarded, and nothing in a second run; a mount that comes later is guarded by the next", async () => {
    const said = await bash(`
      "$guard" on | tree
      "$guard" start | sed 's/^/again: /'
      mkdir "$root/shared/late"; mount -t tmpfs late "$root/shared/late"
      "$guard" start | tree`);
    expect(said).toEqual([
      "guarded TREE/homes",
      "guarded TREE/workspaces",
      "guarded TREE/docker-volumes",
      "guarded TREE/shared",
      "guarded TREE/shared/late",
    ]);
  });

  it.each([
    [
      "by a remount",
      `mount -o "remount,bind,$(findmnt -n -o VFS-OPTIONS "$root/homes"),suid,dev" none "$root/homes"`,
    ],
    ["nosuid alone", `mount -o "remount,bind,suid,nodev" none "$root/homes"`],
    ["by an unmount", `umount "$root/homes"`],
    ["by a mount over it", `mount -t tmpfs over "$root/homes"; chmod 755 "$root/homes"`],
  ])("gives the options back that somebody took away, says so, and is quiet after: %s", async (_, take) => {
    const said = await bash(`
      chmod -R 755 "$root"; place="$root/homes"
      "$guard" on >/dev/null
      ${take}
      ${SETUID}
      "$guard" on | tree
      ${SETUID}
      ${DEVICE}
      "$guard" on; "$guard" start`);
    expect(said).toEqual(["65534", "0", "guarded TREE/homes", "65534", "65534", "refused"]);
  });

  it("binds nothing where the file system that holds the tree has the options already", async () => {
    expect(await bash(`mount -o remount,nosuid,nodev "$keep"; "$guard" on; mounts`)).toEqual([""]);
  });

  it.each([
    ["a plain line", "server:/x @ nfs nofail 0 0", "1"],
    ["more slashes", "UUID=x /@/ ext4 nofail 0 2", "1"],
    ["a line for where a link leads", "UUID=x KEEP/data ext4 nofail 0 2", "1"],
    ["a comment", "# UUID=x @ ext4 nofail 0 2", "0"],
    ["another place", "UUID=x @/deeper ext4 nofail 0 2", "0"],
    ["a line that no start of the machine mounts", "UUID=x @ ext4 noauto,nofail 0 2", "0"],
  ])("leaves a place to systemd that fstab names and that is not mounted yet: %s", async (_, line, code) => {
    const linked = line.includes("KEEP");
    const said = await bash(`
      place="$root/homes"
      ${linked ? `mv "$place" "$keep/data"; ln -s "$keep/data" "$place"; place=$keep/data` : ""}
      echo "${line}" | sed "s|@|$root/homes|; s|KEEP|$keep|" >$fstab
      "$guard" start >/dev/null 2>/run/said; echo "start $?"
      if "$guard" on >/dev/null 2>&1; then echo 'on 0'; else echo "on $?"; fi
      if mountpoint -q "$place"; then echo bound; else echo left; fi
      sed "s|$place|PLACE|" /run/said | cut -d : -f 1
      mountpoint -q "$place" || mount -t tmpfs late "$place"
      "$guard" on >/dev/null; options "$place"`);
    expect(said).toEqual([
      "start 0",
      `on ${code}`,
      code === "0" ? "bound" : "left",
      ...(code === "0" ? [] : ["PLACE is not guarded"]),
      "nodev,nosuid,rw",
    ]);
  });

  it.each([
    ["below a folder, without the options", "shared/nas", ""],
    ["below a folder, with them", "shared/nas", "nosuid,nodev"],
    ["in a folder's place, with them", "shared", "nosuid,nodev"],
  ])("does not wait for a server that is away: %s", async (_, name, given) => {
    const said = await bash(`
      mkdir -p "$root/${name}"; dead "$root/${name}" ${given}
      began=$SECONDS
      timeout -k 1 50 "$guard" start >/dev/null 2>&1; echo "code $?"
      if [ "$((SECONDS - began))" -lt 25 ]; then echo soon; else echo "after $((SECONDS - began)) s"; fi
      options "$root/homes"`);
    expect(said).toEqual(["code 0", "soon", "nodev,nosuid,rw"]);
  });

  it.each([
    ["without a line in fstab", "", "1"],
    ["with a line that lacks them", "nas:/x @ nfs noauto,x-systemd.automount,nosuid 0 0", "1"],
    ["with a line that has them", "nas:/x @ nfs noauto,x-systemd.automount,nosuid,nodev 0 0", "0"],
    ["now with something on it", "", "1"],
  ])(
    "takes a folder that is mounted when it is first used by what its mount will have: %s",
    async (name, line, code) => {
      const said = await bash(`
      ${AUTOFS} "$root/homes"
      ${name.startsWith("now") ? `mount -t tmpfs now "$root/homes"` : ""}
      echo "${line}" | sed "s|@|$root/homes|" >$fstab
      timeout 20 "$guard" start >/dev/null 2>&1; echo "start $?"
      if timeout 20 "$guard" on >/run/said 2>&1; then echo 'on 0'; else echo "on $?"; fi
      grep -c 'is not guarded: it is mounted when it is first used. Add nosuid,nodev' /run/said || true
      options "$root/shared"`);
      expect(said).toEqual(["start 0", `on ${code}`, code, "nodev,nosuid,rw"]);
    },
  );

  it("goes on where a mount is hidden by a later one, or is mounted when it is first used", async () => {
    const said = await bash(`
      mkdir "$root/shared/a" "$root/homes/auto" "$root/workspaces/x"
      mount -t tmpfs hidden "$root/shared/a"; mount -t tmpfs over "$root/shared"
      mount -t tmpfs below "$root/workspaces"; mkdir "$root/workspaces/x"; mount -t tmpfs one "$root/workspaces/x"; mount -t tmpfs two "$root/workspaces/x"
      ${AUTOFS} "$root/homes/auto"
      timeout 20 "$guard" start 2>&1 | tree | sort
      timeout 20 "$guard" on 2>&1 | tree`);
    expect(said).toEqual([
      "guarded TREE/docker-volumes",
      "guarded TREE/homes",
      "guarded TREE/shared",
      "guarded TREE/workspaces",
      "guarded TREE/workspaces/x",
    ]);
  });

  it("fails, and guards the others, where one of its own folders does not take the options", async () => {
    const said = await bash(`
      mkdir /run/bin
      printf '#!/bin/bash\\nfor last; do :; done\\ncase "$1 $2 $last" in "-o "*nosuid*/homes) exit 1 ;; esac\\nexec /usr/bin/mount "$@"\\n' >/run/bin/mount
      chmod 755 /run/bin/mount; sed -i 's|PATH=|PATH=/run/bin:|' "$guard"
      if "$guard" start >/run/said 2>&1; then echo fine; else echo "code $?"; fi
      tree </run/said | sort`);
    expect(said).toEqual([
      "code 1",
      "TREE/homes could not be mounted with nosuid and nodev",
      "guarded TREE/docker-volumes",
      "guarded TREE/shared",
      "guarded TREE/workspaces",
    ]);
  });

  it("refuses another word than start, on and off", async () => {
    expect(await bash(`if "$guard" away 2>&1; then echo taken; else echo "code $?"; fi`)).toEqual([
      "usage: guard start | on | off [PATH]",
      "code 2",
    ]);
  });
});
