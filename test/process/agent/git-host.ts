/** A Git host on loopback: the real `git http-backend` behind HTTP, which notes each request and looks at its token. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { Repository, RepositoryHost } from "../../../core/manager";
import { must } from "../../lib/run";

/** No DNS server knows it: who reaches it was told its address. */
export const NAME = "git.berth-test.invalid";
const MOST_BODY = 2 ** 20;

const IDENTITY = {
  ...{ GIT_AUTHOR_NAME: "A", GIT_AUTHOR_EMAIL: "a@example", GIT_COMMITTER_NAME: "A" },
  ...{ GIT_COMMITTER_EMAIL: "a@example", GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1" },
};
const env = { ...process.env, ...IDENTITY };

export const git = async (folder: string, ...args: string[]): Promise<string> =>
  (await must("git", ["-C", folder, ...args], { env })).stdout.trim();

export interface Seen {
  path: string;
  /** The token of a Basic header. */
  token?: string;
  body: string;
}

/** A string is a file's text, `{ link }` a symbolic link, null takes it away. */
export type Files = Record<string, string | { mode: number; text: string } | null>;

export class GitHost {
  readonly seen: Seen[] = [];
  /** By `/owner/name.git`: who may read it. @default everybody */
  readonly tokens = new Map<string, string[]>();
  /** Answers in the place of git where it gives true. */
  instead?: (request: IncomingMessage, response: ServerResponse) => boolean;
  readonly folder = mkdtempSync(join(tmpdir(), "berth-git-host-"));
  private readonly server: Server = createServer((request, response) => void this.answer(request, response));

  async start(address = "127.0.0.1", port = 0): Promise<void> {
    this.server.listen(port, address);
    await once(this.server, "listening");
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  get host(): RepositoryHost {
    return { host: NAME, port: (this.server.address() as AddressInfo).port, insecure: true, internal: true };
  }

  /** How often git asked for objects, not only for branches. */
  get fetches(): number {
    return this.seen.filter(({ body }) => body.includes("command=fetch")).length;
  }

  repository(owner: string, name: string): Repository {
    const host = `${NAME}:${this.host.port}`;
    return { host, owner, name, url: `http://${host}/${owner}/${name}.git` };
  }

  bare = (owner: string, name: string) => join(this.folder, "served", owner, `${name}.git`);

  /** One commit more, after the one before on whatever branch, as the branch's last; the repository is made with its first. */
  async commit(owner: string, name: string, files: Files, branch = "main"): Promise<string> {
    const work = join(this.folder, "work", owner, name);
    const bare = this.bare(owner, name);
    if (mkdirSync(work, { recursive: true }) !== undefined) {
      await must("git", ["init", "--quiet", "--bare", "--initial-branch=main", bare], { env });
      await git(work, "init", "--quiet", "--initial-branch=main");
      await git(work, "remote", "add", "origin", bare);
    }
    for (const [path, file] of Object.entries(files)) {
      const at = join(work, path);
      mkdirSync(dirname(at), { recursive: true });
      if (file === null) rmSync(at);
      else if (typeof file === "string") writeFileSync(at, file);
      else writeFileSync(at, file.text, { mode: file.mode });
    }
    await git(work, "add", "--all");
    await git(work, "commit", "--quiet", "--allow-empty", "--message", "more");
    await git(work, "push", "--quiet", "--force", "origin", `HEAD:refs/heads/${branch}`);
    return git(work, "rev-parse", "HEAD");
  }

  workOf = (owner: string, name: string) => join(this.folder, "work", owner, name);

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://x");
    const parts: Buffer[] = [];
    for await (const part of request) {
      parts.push(part);
      if (parts.reduce((sum, { length }) => sum + length, 0) > MOST_BODY) return void response.destroy();
    }
    const body = Buffer.concat(parts);
    const plain = request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body;
    const [, encoded] = /^Basic (.*)$/.exec(request.headers.authorization ?? "") ?? [];
    const token =
      encoded &&
      Buffer.from(encoded, "base64")
        .toString()
        .replace(/^[^:]*:/, "");
    this.seen.push({ path: request.url ?? "", token, body: plain.toString("latin1") });
    if (this.instead?.(request, response)) return;
    const allowed = this.tokens.get(pathname.replace(/(\.git)\/.*$/, "$1"));
    if (allowed && !(token && allowed.includes(token))) {
      response.writeHead(401, { "www-authenticate": "Basic" }).end();
      return;
    }
    this.backend(request, response, { pathname, query: searchParams.toString(), body });
  }

  private backend(
    { method, headers }: IncomingMessage,
    response: ServerResponse,
    { pathname, query, body }: { pathname: string; query: string; body: Buffer },
  ): void {
    const child = spawn("git", ["http-backend"], {
      stdio: ["pipe", "pipe", "ignore"],
      env: {
        ...env,
        ...{ GIT_PROJECT_ROOT: join(this.folder, "served"), GIT_HTTP_EXPORT_ALL: "1", PATH_INFO: pathname },
        ...{ QUERY_STRING: query, REQUEST_METHOD: method, CONTENT_TYPE: headers["content-type"] ?? "" },
        ...{ CONTENT_LENGTH: String(body.length), GIT_PROTOCOL: String(headers["git-protocol"] ?? "") },
        ...(headers["content-encoding"] ? { HTTP_CONTENT_ENCODING: headers["content-encoding"] } : {}),
        ...{ GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "safe.directory", GIT_CONFIG_VALUE_0: "*" },
      },
    });
    child.stdin.on("error", () => {}); // It may end without reading.
    child.stdin.end(body);
    response.on("close", () => child.kill());
    let head: Buffer | undefined = Buffer.alloc(0);
    child.stdout.on("data", (part: Buffer) => {
      if (head === undefined) return void response.write(part);
      head = Buffer.concat([head, part]);
      const end = head.indexOf("\r\n\r\n");
      if (end === -1) return;
      for (const line of head.subarray(0, end).toString("latin1").split("\r\n")) {
        const [, key = "", value = ""] = /^([^:]+): (.*)$/.exec(line) ?? [];
        if (key === "Status") response.statusCode = Number.parseInt(value, 10);
        else response.setHeader(key, value);
      }
      response.write(head.subarray(end + 4));
      head = undefined;
    });
    child.stdout.on("end", () => response.end());
  }
}
