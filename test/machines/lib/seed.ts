/** @file What QEMU hands a server at its first boot: its name, keys and addresses; see scripts/machines/image. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { must } from "../../lib/run";
import { macOf } from "./qemu";
import { address6Of, addressOf } from "./site";

/** A way out, as servers have; nobody is there, so nothing that a machine sends leaves the network. */
const GATEWAY = addressOf(254);

interface SeedFile {
  text: string;
  mode: number;
}

/** Its files, by their paths. @param keys folder with `id` and `hostkey` */
export function seedFiles(name: string, host: number, keys: string): Record<string, SeedFile> {
  const key = (file: string) => readFileSync(join(keys, file), "utf8");
  const network = [
    ...["[Match]", `MACAddress=${macOf(host)}`, "", "[Network]"],
    ...[`Address=${addressOf(host)}/24`, `Address=${address6Of(host)}/64`, `Gateway=${GATEWAY}`],
  ];
  return {
    "etc/hostname": { text: `${name}\n`, mode: 0o644 },
    "etc/hosts": { text: `127.0.0.1 localhost\n127.0.1.1 ${name}\n::1 localhost\n`, mode: 0o644 },
    "etc/machine-seeded": { text: "", mode: 0o644 },
    "etc/ssh/ssh_host_ed25519_key": { text: key("hostkey"), mode: 0o600 },
    "etc/ssh/ssh_host_ed25519_key.pub": { text: key("hostkey.pub"), mode: 0o644 },
    "etc/systemd/network/20-machine.network": { text: `${network.join("\n")}\n`, mode: 0o644 },
    "root/.ssh/authorized_keys": { text: key("id.pub"), mode: 0o600 },
  };
}

/** Writes them as a tar; folders are not in it, so those of the machine keep their modes. */
export async function writeSeed(files: Record<string, SeedFile>, tar: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "berth-seed-"));
  try {
    for (const [path, { text, mode }] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
      chmodSync(join(folder, path), mode);
    }
    await must("tar", ["-C", folder, "--owner=0", "--group=0", "-cf", tar, ...Object.keys(files)]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
