/**
 * What dockerd is told by its unit, read together with daemon.json.
 * Proves: options are found wherever they stand (unit, drop-ins, environment, files, a shell), in each way of writing
 * them; one that dockerd would not start with, or that Berth refuses in the file, is named before anything is written.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { daemonConfig } from "../../components/host/runtime";
import { ALL_KEYS, TOLD } from "../../components/host/runtime/told";
import { lookMachine, preflightBody } from "./host-look-helpers";

const { at, tool, look } = lookMachine();
const KEYS = ALL_KEYS(daemonConfig({}));

const python = (...args: string[]) => {
  const ran = spawnSync("python3", ["-c", TOLD, at("unit"), ...args], { encoding: "utf8" });
  expect(ran.stderr).toBe("");
  return ran.stdout;
};
const unit = (text: string) => writeFileSync(at("unit"), text.replaceAll("@", `${at("")}/`));
const service = (start: string, more = "") =>
  `# /lib/systemd/system/docker.service\n[Service]\n${more}ExecStart=${start}\n`;
const options = (text: string) => {
  unit(text);
  return python("options").split("\0").slice(0, -1);
};
const check = (text: string, daemon?: string | Buffer) => {
  unit(text);
  if (daemon !== undefined) writeFileSync(at("daemon.json"), daemon);
  return python("check", at("daemon.json"), ...KEYS)
    .split("\n")
    .filter((line) => line !== "");
};

describe("options of dockerd", () => {
  it.each([
    [
      "as one word",
      "/usr/bin/dockerd -H fd:// --log-driver=json-file",
      ["-H", "fd://", "--log-driver=json-file"],
    ],
    [
      "as two, behind systemd's marks",
      "-!/usr/bin/dockerd --log-driver json-file",
      ["--log-driver", "json-file"],
    ],
    [
      "in quotes, over two lines",
      '/usr/bin/dockerd \\\n# not this: --debug\n  "--log-opt=tag=a b"',
      ["--log-opt=tag=a b"],
    ],
    [
      "for a shell",
      "/bin/sh -c 'exec /usr/bin/dockerd -D --live-restore=true $MORE'",
      ["-D", "--live-restore=true", "--icc=false"],
    ],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: systemd's own
    ["in a variable", "/usr/bin/dockerd $OPTS ${ONE} $NONE $$x", ["--mtu", "1400", "--label=a", "--bip=1"]],
  ])("are found %s", (_, start, expected) => {
    const environment = 'Environment="OPTS=--mtu 1400 --label=a" ONE=--bip=1 MORE=--icc=false\n';
    expect(options(service(start, environment))).toEqual(expected);
  });

  it("are those of the last command, and of the files that win over the unit", () => {
    mkdirSync(at("default"));
    writeFileSync(at("default/a.env"), "# OPTS=--debug\nOPTS='--log-driver=syslog'\n");
    const text = `${service("/usr/bin/dockerd --debug", "Environment=OPTS=--bip=1\n")}
# @drop/10.conf
[Unit]
ExecStart=/usr/bin/dockerd --not-here
[Service]
EnvironmentFile=-/nowhere
EnvironmentFile=@default/*.env
ExecStart=
ExecStart=/usr/bin/dockerd $OPTS
`;
    expect(options(text)).toEqual(["--log-driver=syslog"]);
    expect(check(text)[0]).toContain(`--log-driver=syslog (${at("default/a.env")})`);
  });

  it.each([
    ["--log-driver=json-file", "log-driver"],
    ["--log-driver json-file", "log-driver"],
    ["--log-opt max-size=5m", "log-opts"],
    ["--exec-opt native.cgroupdriver=systemd", "exec-opts"],
    ["--live-restore", "live-restore"],
    ["--default-address-pool base=10.0.0.0/8,size=24", "default-address-pools"],
    ["--insecure-registry own:5000", "insecure-registries"],
    ["--feature cdi", "features"],
    ["--firewall-backend=iptables", "firewall-backend"],
  ])("%s stands in the way of Berth's %s", (flag, key) => {
    const found = check(service(`/usr/bin/dockerd -H fd:// ${flag}`));
    expect(found).toEqual([
      `dockerd is started with ${flag} (/lib/systemd/system/docker.service), and Berth sets ${key} in ${at("daemon.json")}: dockerd does not start with both. Take the option out, and put what Berth leaves open into that file`,
    ]);
  });

  it.each([
    "--userland-proxy=false",
    "--userland-proxy=0",
    "--iptables=F",
    "--ip6tables=false",
    "--firewall-backend nftables",
  ])("%s is refused as it is in the file", (flag) => {
    expect(check(service(`/usr/bin/dockerd -H fd:// ${flag}`))[0]).toMatch(
      /published ports could not be guarded.*Take the option out$/,
    );
  });

  it("tell of another file than the one that Berth writes", () => {
    expect(check(service("/usr/bin/dockerd --config-file /srv/docker.json"))[0]).toContain(
      "dockerd is started with --config-file /srv/docker.json",
    );
    expect(check(service(`/usr/bin/dockerd --config-file=${at("daemon.json")}`))).toEqual([]);
  });

  it("are fine where they say nothing of Berth's", () => {
    expect(
      check(
        service(
          "/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock --userland-proxy --iptables=true --mtu 1400 -s overlay2",
        ),
      ),
    ).toEqual([]);
  });
});

describe("daemon.json", () => {
  const plain = service("/usr/bin/dockerd -H fd://");
  const proxy = '{"userland-proxy": false}';

  it.each([
    ["plain", proxy],
    ["on one line with others", '{"debug":true,"userland-proxy":false,"x":{"iptables":false}}'],
    ["behind a byte order mark", `\uFEFF${proxy}`],
    ["in UTF-16", Buffer.from(`\uFEFF${proxy}`, "utf16le")],
  ])("is read %s", (_, text) => {
    expect(check(plain, text)).toEqual([
      expect.stringContaining(`${at("daemon.json")} says "userland-proxy": false`),
    ]);
  });

  it.each(["", "\uFEFF", "{}", '{"labels": ["iptables", "false"]}'])("%j is fine", (text) => {
    expect(check(plain, text)).toEqual([]);
  });
});

describe("the preflight", () => {
  const body = preflightBody();
  const step =
    /^cat >"\$work\/told\.py"[\s\S]*?^cat -- "\$work\/told" >>"\$work\/problems"$/m.exec(body)?.[0] ??
    "exit 1";
  const run = () => look(step.replaceAll("/etc/", `${at("etc")}/`));
  const write = (path: string, text: string) => {
    mkdirSync(at(path).replace(/\/[^/]*$/, ""), { recursive: true });
    writeFileSync(at(path), text);
  };

  it("names option and key, all at once, before anything is written", () => {
    tool("systemctl", `[ "$1" = cat ] && cat ${at("unit")}`);
    unit(service("/usr/bin/dockerd -H fd:// --log-driver=json-file --userland-proxy=false"));
    const { status, stderr } = run();
    expect(status).not.toBe(0);
    expect(stderr).toContain(
      "--log-driver=json-file (/lib/systemd/system/docker.service), and Berth sets log-driver in",
    );
    expect(stderr).toContain("--userland-proxy=false");
    expect(stderr).toContain("nothing was changed");
  });

  it("looks at drop-ins that wait for a Docker to come, and says which file is no JSON", () => {
    write(
      "etc/systemd/system/docker.service.d/a.conf",
      "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --exec-opt a=b\n",
    );
    expect(run().stderr).toContain(`--exec-opt a=b (${at("etc/systemd/system/docker.service.d/a.conf")})`);
    write("etc/docker/daemon.json", "{ nonsense");
    expect(run().stderr).toMatch(/daemon\.json is no JSON \(.*\): mend or remove it/);
  });

  it("lets a server be that tells dockerd nothing of that", () => {
    write("etc/default/docker", '# DOCKER_OPTS="--iptables=false"\n');
    write("etc/docker/daemon.json", "\uFEFF{}");
    expect(run().stderr).toBe("");
    expect(readFileSync(at("seen/problems"), "utf8")).toBe("");
  });
});
