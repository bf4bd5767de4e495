/**
 * @file Hostile rows: files that would give the rights of others. The folders that a person writes to are nosuid and nodev
 * everywhere, also where they are seen from others' workspaces; her container's own layer is out of everybody's reach.
 */
import { DEVICE, INSIDE, ON_NODE, OWN_LAYER, type Row, SETUID } from "./hostile-table";

/** Effective user and group of whoever runs it: by a setuid and setgid file of root's they would be 0. */
const rights = (file: string, as = "") => `${as}${file} -u; ${as}${file} -g`;
const nobody = "sudo -n -u nobody ";
const NOBODYS = "65534\n65534";

/** Every mount below which root of the workspace can make a file, apart from what the container has for itself alone. */
const WRITABLE = `sudo -n bash -c 'while read -r _ _ _ _ at options _; do
  at=$(printf %b "$at")
  case $at in / | /dev | /dev/* | /proc | /proc/* | /sys | /sys/*) continue ;; esac
  [ -d "$at" ] && probe=$(mktemp -p "$at" .hostile-XXXXXX 2>/dev/null) || continue
  rm -f "$probe"
  case ,$options, in *,nosuid,*) suid=nosuid ;; *) suid=SUID ;; esac
  case ,$options, in *,nodev,*) dev=nodev ;; *) dev=DEV ;; esac
  echo "$at $suid $dev"
done </proc/self/mountinfo | sort'`;

export const fileRows: readonly Row[] = [
  {
    what: "a setuid file makes whoever runs it root of her own container: the attempt is a real one",
    from: "carol",
    command: rights(`${OWN_LAYER}/${SETUID}`, nobody),
    expect: "0\n0",
  },
  ...INSIDE.map(
    (folder): Row => ({
      what: `a setuid and setgid file in ${folder} gives another account there nothing`,
      from: "carol",
      command: rights(`${folder}/${SETUID}`, nobody),
      expect: NOBODYS,
    }),
  ),
  {
    what: "a setuid file that bob put on the shared folder gives nothing in her workspace",
    from: "carol",
    command: rights(`/shared/tensorboard/bob/${SETUID}`, nobody),
    expect: NOBODYS,
  },
  {
    what: "root's setuid file of carol's on the shared folder gives nothing in his workspace",
    from: "bob",
    command: `at=/shared/tensorboard/carol/${SETUID}; echo "$($at -u) $($at -g)"; echo "$(id -u) $(id -g)"`,
    expect: /^([1-9]\d* [1-9]\d*)\n\1$/,
  },
  ...ON_NODE.map(
    (folder): Row => ({
      what: `root's setuid and setgid file of carol's in ${folder} gives nothing on the node`,
      from: "nobody",
      command: rights(`${folder}/${SETUID}`),
      expect: NOBODYS,
    }),
  ),
  {
    what: "root's setuid file in the own layer of carol's container is out of reach on the node",
    from: "nobody",
    command: `"$CAROL_LAYER${OWN_LAYER}/${SETUID}" -u`,
    expect: /Permission denied\nexit 126$/,
  },
  {
    what: "every folder that she can write to, but her container's own, is nosuid and nodev",
    from: "carol",
    command: WRITABLE,
    expect: [...INSIDE]
      .sort()
      .map((folder) => `${folder} nosuid nodev`)
      .join("\n"),
  },
  {
    what: "the shared folder is read-only, nosuid and nodev",
    from: "carol",
    command:
      "findmnt -n -o VFS-OPTIONS /shared | tr , '\\n' | grep -x -e ro -e nosuid -e nodev | sort | xargs",
    expect: "nodev nosuid ro",
  },
  ...["/workspace", OWN_LAYER].map(
    (folder): Row => ({
      what: `a program in ${folder} gets no capabilities of its own`,
      from: "carol",
      command: `sudo -n setcap cap_setuid+ep ${folder}/${SETUID}`,
      expect: /Operation not permitted\nexit 1$/,
    }),
  ),
  ...["/workspace", "/dev"].flatMap((folder) =>
    ["b 8 0", "c 1 1"].map(
      (device): Row => ({
        what: `no device ${device} can be made in ${folder}`,
        from: "carol",
        command: `sudo -n mknod ${folder}/hostile-disk ${device}`,
        expect: `mknod: ${folder}/hostile-disk: Operation not permitted\nexit 1`,
      }),
    ),
  ),
  ...(["carol", "node"] as const).map((from): Row => {
    const file = `${from === "carol" ? INSIDE[0] : ON_NODE[0]}/${DEVICE}`;
    return {
      what: "a device that got into a home otherwise cannot be opened, not even by root",
      from,
      command: `${from === "carol" ? "sudo -n " : ""}head -c 1 ${file}`,
      expect: `head: cannot open '${file}' for reading: Permission denied\nexit 1`,
    };
  }),
  {
    // The account that Ray runs as in Ray's image, which the workspace's goes on from, has none of anybody's files.
    what: "sees no home but hers",
    from: "carol",
    command: "sudo -n ls /home /home/ray /mnt",
    expect: "/home:\ncarol\nray\n\n/home/ray:\n\n/mnt:",
  },
  {
    what: "does not see who has a home on the node",
    from: "nobody",
    command: "ls /mnt/storage/homes",
    expect: "ls: cannot open directory '/mnt/storage/homes': Permission denied\nexit 2",
  },
  ...[
    "/mnt/storage/homes/bob/his.txt",
    "/var/lib/berth/ray/token",
    "/var/lib/berth/workspaces/bob/secrets.json",
  ].map(
    (file): Row => ({
      what: `cannot read ${file}`,
      from: "nobody",
      command: `cat ${file}`,
      expect: `cat: ${file}: Permission denied\nexit 1`,
    }),
  ),
  ...["/run/berth/secrets.json", "/etc/shadow"].map(
    (file): Row => ({
      what: `cannot read ${file} of his own workspace`,
      from: "bob",
      command: `cat ${file}`,
      expect: `cat: ${file}: Permission denied\nexit 1`,
    }),
  ),
];
