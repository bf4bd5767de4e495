/** What `nvidia-ctk cdi list --spec-dir DIR` prints: KIND=NAME of each device that a file there names, YAML or JSON. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

const [folder = "."] = process.argv.slice(2);
for (const file of readdirSync(folder)) {
  const { kind, devices } = parse(readFileSync(join(folder, file), "utf8"));
  for (const { name } of devices ?? []) process.stdout.write(`${kind}=${name}\n`);
}
