/** Where an engine is: `unix://`, `ssh://`, or `tcp://` on this machine. Pure. */

export type Host =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "ssh"; readonly host: string; readonly port?: number; readonly user?: string };

/** The engine's own default on Linux, as in the official plugin. */
export const defaultHost = "unix:///var/run/docker.sock";

const TAKEN = `take "unix:///path/to/docker.sock" or "ssh://user@address:port"`;

/** @throws Error that says what is allowed. A password in the address is refused and never repeated. */
export function parseHost(text: string): Host {
  if (text.startsWith("unix://")) {
    const path = text.slice("unix://".length);
    if (!path.startsWith("/")) throw new Error(`host "${text}" has no absolute path; ${TAKEN}`);
    return { kind: "unix", path };
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Error(`host is no address; ${TAKEN}`);
  }
  if (url.password !== "")
    throw new Error(`host holds a password; give a key in sshOpts ("-i", "/path/to/key")`);
  const port = url.port === "" ? undefined : Number(url.port);
  // URL keeps the brackets of an IPv6 address; sockets want it without.
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  switch (url.protocol) {
    case "ssh:": {
      if (host === "") throw new Error(`host "${text}" names no machine; ${TAKEN}`);
      if (url.pathname !== "" && url.pathname !== "/") {
        throw new Error(
          `host "${text}" has a path; the engine behind ssh is found by "docker system dial-stdio" there`,
        );
      }
      const user = url.username === "" ? undefined : decodeURIComponent(url.username);
      return { kind: "ssh", host, ...(port ? { port } : {}), ...(user ? { user } : {}) };
    }
    case "tcp:":
    case "http:":
      if (!/^(localhost|127\.[0-9.]+|::1)$/.test(host)) {
        throw new Error(
          `host "${text}": whoever reaches an engine over plain TCP is root on its machine, so only a loopback address is taken; ${TAKEN}`,
        );
      }
      return { kind: "tcp", host, port: port ?? 2375 };
    default:
      throw new Error(`host "${text}" is of an unknown kind; ${TAKEN}`);
  }
}
