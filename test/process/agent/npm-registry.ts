/** A registry of npm packages on an address of this computer, which counts how often each package is downloaded. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must } from "../../lib/run";

interface Manifest {
  name: string;
  version: string;
  dependencies?: Record<string, string>;
  bin?: Record<string, string>;
}

export class NpmRegistry {
  /** The names of the packages, as they were downloaded. */
  readonly downloads: string[] = [];
  private readonly folder = mkdtempSync(join(tmpdir(), "berth-npm-registry-"));
  private readonly packages = new Map<string, { manifest: Manifest; archive: Buffer }>();
  private readonly server: Server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "", "http://x");
    const [, name = "", file] = pathname.split("/");
    const found = this.packages.get(name);
    if (!found) response.writeHead(404).end("{}");
    else if (file === undefined)
      response.setHeader("content-type", "application/json").end(JSON.stringify(this.document(found)));
    else {
      this.downloads.push(name);
      response.end(found.archive);
    }
  });

  async start(address = "127.0.0.1"): Promise<void> {
    this.server.listen(0, address);
    await once(this.server, "listening");
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  get url(): string {
    const { address, port } = this.server.address() as AddressInfo;
    return `http://${address}:${port}`;
  }

  /** Puts a package of some files there, which exports its name. */
  async add(name: string, dependencies: Record<string, string> = {}): Promise<void> {
    const manifest = { name, version: "1.0.0", dependencies, bin: { [name]: "index.js" } };
    const at = join(this.folder, name, "package");
    mkdirSync(join(at, "lib"), { recursive: true });
    writeFileSync(join(at, "package.json"), JSON.stringify(manifest));
    writeFileSync(join(at, "index.js"), `#!/usr/bin/env node\nmodule.exports = "${name}";\n`);
    for (let i = 0; i < 20; i += 1) writeFileSync(join(at, "lib", `${i}.js`), `${i}\n`.repeat(100));
    const file = join(this.folder, `${name}.tgz`);
    await must("tar", [
      "--create",
      "--gzip",
      "--file",
      file,
      "--directory",
      join(this.folder, name),
      "package",
    ]);
    this.packages.set(name, { manifest, archive: readFileSync(file) });
  }

  private document({ manifest, archive }: { manifest: Manifest; archive: Buffer }) {
    const { name, version } = manifest;
    const integrity = `sha512-${createHash("sha512").update(archive).digest("base64")}`;
    const dist = { tarball: `${this.url}/${name}/${name}-${version}.tgz`, integrity };
    return { name, "dist-tags": { latest: version }, versions: { [version]: { ...manifest, dist } } };
  }
}
