/** A tiny image for tests: a static busybox, its applets, nothing else. Made on this computer, no registry needed. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Imports the image under the name given; takes 2 s, the first download of busybox some more. */
export function makeTinyImage(name: string): void {
  const folder = mkdtempSync(join(tmpdir(), "berth-tiny-"));
  try {
    const tree = join(folder, "root");
    for (const part of ["bin", "etc", "tmp", "proc", "sys", "dev", "run"])
      mkdirSync(join(tree, part), { recursive: true });
    const busybox = join(tree, "bin", "busybox");
    cpSync(staticBusybox(folder), busybox);
    for (const applet of execFileSync(busybox, ["--list"], { encoding: "utf8" }).trim().split("\n")) {
      if (applet !== "busybox") symlinkSync("busybox", join(tree, "bin", applet));
    }
    writeFileSync(join(tree, "etc", "passwd"), "root:x:0:0:root:/root:/bin/sh\n");
    const archive = join(folder, "root.tar");
    execFileSync("tar", ["-C", tree, "-cf", archive, "."]);
    // Ends at once on TERM, so that stopping it costs no grace period.
    const command = 'CMD ["/bin/sh","-c","trap exit TERM; while :; do sleep 1 & wait $!; done"]';
    execFileSync("docker", ["import", "-c", command, "-c", "ENV PATH=/bin", archive, name], {
      stdio: "pipe",
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The computer's own, if it needs no libraries; else Debian's package, unpacked and not installed. */
function staticBusybox(folder: string): string {
  for (const path of ["/bin/busybox", "/usr/bin/busybox"]) {
    // `ldd` fails on a program without libraries.
    if (existsSync(path) && spawnSync("ldd", [path]).status !== 0) return path;
  }
  const into = join(folder, "package");
  mkdirSync(into);
  const got = spawnSync("apt-get", ["download", "busybox-static"], { cwd: into, encoding: "utf8" });
  const file = readdirSync(into).find((entry) => entry.endsWith(".deb"));
  if (file === undefined) {
    throw new Error(`these tests need a static busybox: apt-get install busybox-static\n${got.stderr}`);
  }
  execFileSync("dpkg-deb", ["-x", join(into, file), into]);
  const found = ["bin/busybox", "usr/bin/busybox"].map((path) => join(into, path)).find(existsSync);
  if (found === undefined) throw new Error("the package busybox-static holds no busybox");
  return found;
}
