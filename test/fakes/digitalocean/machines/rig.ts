/** How a test looks at the machines from this computer, and at what they left. */
import { readdirSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { lines, must, run } from "./command";
import { dropletImage } from "./image";
import { folderPrefix, label, tableName } from "./names";

/** Waits for a condition. @throws when it does not hold within so many seconds */
export async function until(what: string, seconds: number, condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** What becomes of a TCP connection: a filter is silent, a machine where nobody listens says so. */
export function connects(host: string, port: number): Promise<"open" | "filtered" | "refused"> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port });
    const end = (state: "open" | "filtered" | "refused") => {
      socket.destroy();
      resolve(state);
    };
    socket.setTimeout(1500, () => end("filtered"));
    socket.once("connect", () => end("open"));
    socket.once("error", () => end("refused"));
  });
}

/** The host keys that a server shows, of every type: `ssh-ed25519 AAAA…`. */
export async function hostKeys(address: string): Promise<string[]> {
  const { stdout } = await run("ssh-keyscan", ["-T", "15", address]);
  return [...stdout.matchAll(/^\S+ (\S+ \S+)$/gm)].map(([, key = ""]) => key);
}

/** The nftables tables of this computer, such as `inet berth_test_do`. */
async function tables(): Promise<string[]> {
  const nft = [await dropletImage(), "nft", "list", "tables"];
  const args = ["run", "--rm", "--network", "host", "--cap-drop", "ALL", "--cap-add", "NET_ADMIN", ...nft];
  return lines(await must("docker", args)).map((line) => line.replace(/^table /, ""));
}

/** What this computer has of a set of machines, whoever made it; empty when nothing is left. */
export async function leftovers(name = "1"): Promise<string[]> {
  const naming = { name };
  const listed = async (...args: string[]) =>
    lines(await must("docker", [...args, "--filter", `label=${label(naming)}`]));
  const prefix = folderPrefix(naming);
  const loops = lines(await must("losetup", ["--list", "--noheadings", "--output", "BACK-FILE"]));
  return [
    ...(await listed("ps", "--all", "--format", "container {{.Names}}")),
    ...(await listed("volume", "ls", "--format", "volume {{.Name}}")),
    ...(await listed("network", "ls", "--format", "network {{.Name}}")),
    ...loops.filter((file) => file.includes(`/${prefix}`)).map((file) => `loop device on ${file}`),
    ...readdirSync(tmpdir()).filter((entry) => entry.startsWith(prefix)),
    ...(await tables()).filter((table) => table === `inet ${tableName(naming)}`),
  ];
}
