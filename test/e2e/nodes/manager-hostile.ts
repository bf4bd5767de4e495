/**
 * @file A hostile tenant of the container manager, on the node of manager.test.ts: from inside a container of its own, and with its token.
 * Proves: a container gets no answer from the node's own services (SSH, Docker, berthd, the manager where it is not open to it), from the
 * cloud's metadata, and from another tenant's container, past its published port and by it; the name server names no other tenant; it has
 * no file of the node's beside its packages, no socket, no right beyond the few; what another tenant installed from the same repository is
 * not there; it fills its own processes alone; with its token it is told of another's containers by no route of the document.
 * Does not prove: what a kernel's own faults let through; what containers write on Docker's disk, which nothing bounds.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { attemptsScript, readAttempts } from "../../lib/attempts";
import { knownRoutes, ofAContainer, ofNone, routesOf, upgraded } from "../../lib/tenant-routes";
import { MINUTE } from "../../lib/time";
import { until } from "../../lib/until";
import { GIT_TOKEN, type ManagerNode, PNPM_PROJECT } from "./manager-client";

export interface HostileNode extends ManagerNode {
  /** A container of web-ide's whose server answers on its port 3000. */
  victim(): { id: string; hostPort: number };
  /** A template of little memory and few processes. */
  small: { name: string; pids: number };
}

interface Knock {
  what: string;
  /** As in a URL; names that begin with a dollar are filled in. */
  host: string;
  port: number | "$PORT" | "$GIT";
  expect: string | RegExp;
}

/** A firewall that says nothing: with it the way there is not told from none. */
const SILENT = "silence";
/** Refused at once by the firewall, or no road at all: containers have no IPv6. */
const CLOSED = /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL)$/;
const NODES_OWN = { SSH: 22, Docker: 2375, "Docker with TLS": 2376, berthd: 9700, "the manager": 8080 };

const KNOCKS: readonly Knock[] = [
  {
    what: "is answered by who is open to it: the attempts are real ones",
    host: "$HERE",
    port: "$GIT",
    expect: "open",
  },
  ...["$NODE", "$GATEWAY"].flatMap((host) =>
    Object.entries(NODES_OWN).map(
      ([what, port]): Knock => ({
        what: `is not answered by ${what} at ${host}`,
        host,
        port,
        expect: SILENT,
      }),
    ),
  ),
  ...([3000, 22] as const).map(
    (port): Knock => ({
      ...{ what: `does not reach port ${port} of another tenant's container`, expect: SILENT },
      ...{ host: "$VICTIM", port },
    }),
  ),
  ...["$NODE", "$GATEWAY"].map(
    (host): Knock => ({
      // The stack publishes to its own network alone.
      ...{ what: `does not reach that container by its published port at ${host}`, expect: SILENT },
      ...{ host, port: "$PORT" },
    }),
  ),
  // Refused, not lost on a way that leads nowhere: by the node's firewall.
  {
    what: "learns nothing of the cloud's metadata",
    host: "169.254.169.254",
    port: 80,
    expect: "ECONNREFUSED",
  },
  { what: "learns nothing of it over IPv6", host: "fd00:ec2::254", port: 80, expect: CLOSED },
  { what: "learns nothing of it on the link", host: "fe80::a9fe:a9fe%eth0", port: 80, expect: /^(?!open$)/ },
];

/** Connects to all of them at the same time, and says how each went; then what the name server calls the last argument. */
const PROBE = `const { connect } = require("node:net");
const [targets, name] = process.argv.slice(1);
const knock = ([host, port]) => new Promise((resolve) => {
  const socket = connect({ host, port });
  const say = (word) => { socket.destroy(); resolve(word); };
  socket.on("connect", () => say("open")).on("error", ({ code }) => say(code));
  setTimeout(() => say("silence"), 3000);
});
const names = require("node:dns").promises.reverse(name).catch(({ code }) => code);
Promise.all([Promise.all(JSON.parse(targets).map(knock)), names.then(String)])
  .then((said) => { console.log(JSON.stringify(said)); process.exit(); });
`;

/** Sleeping processes until there may be no more; holds them for some seconds, and says how many there were. */
const FORKS = `import os, time
made = []
try:
    while len(made) < 4000:
        made.append(os.posix_spawn("/bin/sleep", ["sleep", "60"], {}))
    print("no end")
except OSError as error:
    print(error.strerror, flush=True)
    time.sleep(4)
for pid in made:
    os.kill(pid, 9)
print(len(made))
`;

interface Look {
  what: string;
  command: string;
  expect: string | RegExp;
}

/** The end of what Python says. */
const DENIED = /PermissionError: .*\nexit 1$/;

const LOOKS: readonly Look[] = [
  {
    what: "has no file of the node's beside its packages",
    command: `awk '$5 !~ "^/(proc|sys|dev)(/|$)" {print $5}' /proc/self/mountinfo | sort`,
    expect:
      /^\/\n\/app\/node_modules\n\/etc\/hostname\n\/etc\/hosts\n\/etc\/resolv\.conf(\n\/(usr\/)?sbin\/docker-init)?$/,
  },
  {
    what: "finds no socket of Docker's or berthd's",
    command: "find / -xdev -type s; ls -A /run/berth*",
    expect: /^ls: [^\n]*\nexit 2$/,
  },
  {
    what: "has few rights, and gains none",
    command: "grep -E '^(CapEff|CapBnd|CapAmb|NoNewPrivs):' /proc/self/status",
    expect: "CapEff:\t00000000000004fb\nCapBnd:\t00000000000004fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1",
  },
  {
    what: "mounts nothing",
    command: `python3 -c 'import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print(libc.mount(b"none", b"/mnt", b"tmpfs", 0, None), os.strerror(ctypes.get_errno()))'`,
    expect: "-1 Operation not permitted",
  },
  {
    what: "makes no namespace in which it would be root of more",
    command: "python3 -c 'import os; os.unshare(os.CLONE_NEWUSER)'",
    expect: DENIED,
  },
  {
    what: "opens no raw socket",
    command: "python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'",
    expect: DENIED,
  },
  {
    what: "makes no device",
    command: "mknod /tmp/disk b 8 0",
    expect: /Operation not permitted\nexit 1$/,
  },
  {
    what: "sees its own processes alone",
    command: "cat /proc/[0-9]*/comm 2>/dev/null | grep -cE '^(berthd|dockerd|containerd|sshd|systemd)$'",
    expect: "0\nexit 1",
  },
  {
    what: "writes nothing where the kernel takes orders",
    // Opened alone: where that is allowed, nothing is written. Without cgroups the folder is an empty file system in memory.
    command: `for file in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
  if [ -e "$file" ] && { : >>"$file"; } 2>/dev/null; then echo "$file"; fi
done
true`,
    expect: "",
  },
];

export function hostileCases({
  here,
  address,
  host,
  call,
  tokens,
  onNode,
  victim,
  small,
}: HostileNode): void {
  describe("a hostile tenant", () => {
    let token = "";
    let mine = "";
    let knocks: string[] = [];
    let looks: string[] = [];
    let names = "";
    let apart = "";

    const run = async (id: string, command: string, as = token) => {
      const { status, body } = await call("POST", `/api/containers/${id}/exec`, { command }, as);
      expect([status, body], command.slice(0, 80)).toEqual([
        200,
        expect.objectContaining({ truncated: false }),
      ]);
      return body as { exitCode: number; stdout: string; stderr: string };
    };
    const claim = async (template: string, as: string): Promise<string> => {
      const { status, body } = await call("POST", "/api/containers/claim", { template }, as);
      expect([status, body.template]).toEqual([201, template]);
      return body.id;
    };
    const remove = async (id: string, as: string) =>
      expect((await call("DELETE", `/api/containers/${id}`, undefined, as)).status).toBe(200);

    /** Address and gateway. */
    const placeOf = async (id: string) => {
      const format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}}";
      const label = `label=berth.creation=${id}`;
      const said = await onNode(`docker inspect -f '${format}' "$(docker ps -q --filter ${label})"`);
      const [at = "", gateway = ""] = said.trim().split(" ");
      return { at, gateway };
    };

    beforeAll(async () => {
      const [ide, other] = await tokens();
      token = other;
      mine = await claim("node", token);
      // Made anew, so that its owner was known by then.
      const asked = { name: "apart", memory: 64, volumeName: "apart" };
      apart = (await call("POST", "/api/containers", asked, ide)).body.id;
      const [{ at, gateway }, { at: ofApart }] = await Promise.all([placeOf(victim().id), placeOf(apart)]);
      const values: Record<string, string> = {
        ...{ $HERE: here, $NODE: address, $GATEWAY: gateway, $VICTIM: at },
        ...{ $PORT: String(victim().hostPort), $GIT: String(host.host.port) },
      };
      const filled = (text: string) => values[text] ?? text;
      const targets = KNOCKS.map((one) => [filled(one.host), Number(filled(String(one.port)))]);
      const probed = await run(mine, `node -e '${PROBE}' '${JSON.stringify(targets)}' ${ofApart}`);
      [knocks, names] = JSON.parse(probed.stdout);
      const looked = await run(mine, `bash <<'BERTH_END'\n${attemptsScript(LOOKS)}\nBERTH_END`);
      looks = readAttempts(looked.stdout, LOOKS.length);
      await remove(apart, ide);
    }, 2 * MINUTE);

    const judge = (said: string | undefined, wanted: string | RegExp) =>
      typeof wanted === "string" ? expect(said).toBe(wanted) : expect(said).toMatch(wanted);

    for (const [at, one] of KNOCKS.entries())
      it(`from its container ${one.what}`, () => judge(knocks[at], one.expect));

    it("is told by the name server of no other tenant", () => {
      // What it tells of one: its creation, which opens nothing.
      expect(names).toContain(apart);
      expect(names).not.toContain("web-ide");
    });

    for (const [at, one] of LOOKS.entries())
      it(`in its container ${one.what}`, () => judge(looks[at], one.expect));

    it("gets none of what another one installed from the same repository", {
      timeout: 2 * MINUTE,
    }, async () => {
      const [ide] = await tokens();
      const packages = async (as: string) => {
        const id = await claim(small.name, as);
        const asked = await call(
          "POST",
          `/api/containers/${id}/setup`,
          {
            ...{ repo: PNPM_PROJECT, branch: "main", githubToken: GIT_TOKEN, buildMainImage: false },
            ...{ installCommand: "ls node_modules >/tmp/seen", startCommand: "" },
          },
          as,
        );
        expect(asked.status).toBe(202);
        await until("the set-up", MINUTE, async () => {
          const { setup } = (await call("GET", `/api/containers/${id}`, undefined, as)).body;
          if (setup.phase !== "ready") throw new Error(JSON.stringify(setup));
          return true;
        });
        const { stdout } = await run(id, "cat /tmp/seen", as);
        await remove(id, as);
        return stdout;
      };
      const [own, theirs] = await Promise.all([packages(ide), packages(token)]);
      expect({ own, theirs }).toEqual({ own: "left\n", theirs: "" });
    });

    it("fills the processes of its own container, and no other's", { timeout: 2 * MINUTE }, async () => {
      const [ide] = await tokens();
      const id = await claim(small.name, token);
      const filling = run(id, `python3 -c '${FORKS}'`);
      await until("no more processes", MINUTE, async () => {
        const { body } = await call("GET", `/api/containers/${id}/stats`, undefined, token);
        return body.pids >= small.pids - 1;
      });
      expect(await run(victim().id, "true", ide)).toMatchObject({ exitCode: 0 });
      const [why, count] = (await filling).stdout.trim().split("\n");
      expect(why).toBe("Resource temporarily unavailable");
      expect(Number(count)).toBeLessThan(small.pids);
      await remove(id, token);
    });

    it("is told of another's containers by no route, and can do nothing to them", {
      timeout: 2 * MINUTE,
    }, async () => {
      const { id } = victim();
      const ask = (method: string, path: string, body?: object) => call(method, path, body, token);
      expect(routesOf((await ask("GET", "/openapi.json")).body)).toEqual(knownRoutes);
      for (const { route, method, path, body, socket } of ofAContainer) {
        if (socket) {
          expect([route, await upgraded(`ws://${address}:8080${path(id)}`, token)]).toEqual([route, 404]);
          continue;
        }
        const answer = await ask(method, path(id), body);
        expect([route, answer.status]).toEqual([route, 404]);
        const none = JSON.stringify((await ask(method, path("00000000"), body)).body);
        expect(JSON.stringify(answer.body).replaceAll(id, "00000000")).toBe(none);
      }
      for (const { route, method, path, body } of ofNone)
        expect([route, JSON.stringify((await ask(method, path(""), body)).body)]).toEqual([
          route,
          expect.not.stringMatching(new RegExp(`${id}|web-ide|acme`)),
        ]);
    });

    it("finds nothing of the operator's API at the manager's port", { timeout: 2 * MINUTE }, async () => {
      const told = await onNode("curl -sS --unix-socket /run/berth/berthd.sock http://berthd/openapi.json");
      const hidden = routesOf(JSON.parse(told)).filter((route) => !knownRoutes.includes(route));
      expect(hidden.length).toBeGreaterThan(20);
      for (const route of [...hidden, "GET /metrics"]) {
        const [method = "", path = ""] = route.split(" ");
        const body = method === "GET" ? undefined : {};
        const { status } = await call(method, path.replace(/\{\w+\}/g, "x"), body, token);
        expect([route, status]).toEqual([route, 404]);
      }
      await remove(mine, token);
    });
  });
}
