/**
 * What an engine answers before and after it was restarted, read into a state: nothing may look changed by it. The
 * answers are Docker 26's, with what moby's source says that a restart changes (see src/network/gateway.ts).
 */
import type { Props } from "@berth/plugin-base";
import { checkResource } from "@berth/plugin-base/bridged";
import { describe, expect, it } from "vitest";
import { containerDiff, containerType } from "../src/container";
import type { Inspect } from "../src/container/inspect";
import { containerFields } from "../src/container/schema";
import { containerState } from "../src/container/state";
import type { Engine } from "../src/engine/engine";
import { networkDiff, networkType } from "../src/network";
import { type NetworkInspect, networkBody, networkState } from "../src/network/map";
import { networkFields } from "../src/network/schema";
import { type VolumeInspect, volumeState } from "../src/volume/state";
import { bag, context, recorded } from "./support";

const checked = (program: Props): Props =>
  checkResource(networkFields, { olds: bag({}), news: bag(program) }, context("net")).inputs;

/** `GET /networks/ID` of a network that was made with this program. */
function answer(program: Props, more: Partial<NetworkInspect> = {}): NetworkInspect {
  const body = networkBody(checked(program)) as {
    Name: string;
    Options?: Record<string, string>;
    Labels?: Record<string, string>;
    EnableIPv6: boolean;
    IPAM: { Config?: NonNullable<NetworkInspect["IPAM"]>["Config"] };
  };
  return {
    Id: "f".repeat(64),
    Name: body.Name,
    Scope: "local",
    Driver: "bridge",
    EnableIPv6: body.EnableIPv6,
    Internal: false,
    Attachable: false,
    Ingress: false,
    IPAM: { Driver: "default", Options: null, Config: body.IPAM.Config ?? [] },
    Containers: {},
    Options: body.Options ?? {},
    Labels: body.Labels ?? {},
    ...more,
  };
}

/** As `reservePools` leaves it: the gateways that were chosen are part of the configuration. */
function restarted(network: NetworkInspect, ...gateways: string[]): NetworkInspect {
  const Config = (network.IPAM?.Config ?? []).map((config, i) => ({
    ...config,
    Gateway: config.Gateway ?? gateways[i] ?? "",
  }));
  return { ...network, IPAM: { ...network.IPAM, Config } };
}

const engineWith = (found: unknown): Engine => ({ find: async () => found }) as unknown as Engine;

/** What `refresh` puts into the state, and what the next preview says. */
async function refreshed(program: Props, state: Props, found: NetworkInspect) {
  const inputs = checked(program);
  const type = networkType(() => engineWith(found));
  const read = await type.read?.(
    { id: found.Id, props: bag(state), inputs: bag(inputs) },
    { ...context("net"), preview: false },
  );
  const olds = read?.outs ?? {};
  const oldInputs = read?.inputs ?? {};
  const { changes } = networkDiff({
    id: found.Id,
    olds: bag(olds),
    oldInputs: bag(oldInputs),
    news: bag(inputs),
    ignoreChanges: [],
  });
  return { olds, oldInputs, changes };
}

const NETWORKS: [string, Props, string[]][] = [
  ["a subnet alone", { name: "n", ipamConfigs: [{ subnet: "172.30.0.0/24" }] }, ["172.30.0.1"]],
  ["a small subnet", { name: "n", ipamConfigs: [{ subnet: "10.9.8.16/28" }] }, ["10.9.8.17"]],
  [
    "a subnet and its gateway",
    { name: "n", ipamConfigs: [{ subnet: "172.30.0.0/24", gateway: "172.30.0.1" }] },
    ["172.30.0.1"],
  ],
  [
    "a gateway that is not the first address",
    { name: "n", ipamConfigs: [{ subnet: "172.30.0.0/24", gateway: "172.30.0.254" }] },
    ["172.30.0.254"],
  ],
  [
    "a range of addresses",
    { name: "n", ipamConfigs: [{ subnet: "172.28.0.0/16", ipRange: "172.28.5.0/24" }] },
    ["172.28.5.0"],
  ],
  [
    "IPv4 and IPv6",
    { name: "n", ipv6: true, ipamConfigs: [{ subnet: "172.30.0.0/24" }, { subnet: "fd00:7::/64" }] },
    ["172.30.0.1", "fd00:7::1"],
  ],
  ["nothing", { name: "n" }, []],
];

describe.each(NETWORKS)("a network with %s", (_, program, gateways) => {
  const before = answer(program);
  const after = restarted(before, ...gateways);

  it("is unchanged by a restart of the engine, before and after a refresh", async () => {
    const made = networkState(before, checked(program));
    for (const found of [before, after]) {
      const { olds, oldInputs, changes } = await refreshed(program, made, found);
      expect(changes).toEqual([]);
      expect(oldInputs).toEqual(checked(program));
      expect(olds.ipamConfigs).toEqual(made.ipamConfigs);
    }
  });

  it("is unchanged where the official plugin read it after a restart, and wrote all that it was told", async () => {
    const official = networkState(after, {});
    const { changes } = await refreshed(program, official, after);
    expect(changes).toEqual([]);
  });

  it("may be told its gateway later, or no more: it is the one that it has", () => {
    for (const [old, now] of [
      [before, after],
      [after, before],
    ] as const) {
      const given = now.IPAM?.Config?.map((config) => ({
        subnet: config.Subnet ?? "",
        ...(config.IPRange ? { ipRange: config.IPRange } : {}),
        ...(config.Gateway ? { gateway: config.Gateway } : {}),
      }));
      const news = checked({ ...program, ...(given?.length ? { ipamConfigs: given } : {}) });
      const request = { id: "id", oldInputs: bag(checked(program)), news: bag(news), ignoreChanges: [] };
      expect(networkDiff({ ...request, olds: bag(networkState(old, {})) }).changes).toEqual([]);
    }
  });
});

describe("a network that is another one indeed", () => {
  const program: Props = { name: "n", ipamConfigs: [{ subnet: "172.30.0.0/24" }] };
  it.each<[string, Props]>([
    ["another gateway", { ipamConfigs: [{ subnet: "172.30.0.0/24", gateway: "172.30.0.254" }] }],
    ["another subnet", { ipamConfigs: [{ subnet: "172.31.0.0/24" }] }],
    ["a range", { ipamConfigs: [{ subnet: "172.30.0.0/24", ipRange: "172.30.0.128/25" }] }],
  ])("is replaced for %s, whether the engine was restarted or not", (_, edit) => {
    for (const found of [answer(program), restarted(answer(program), "172.30.0.1")]) {
      const olds = bag(networkState(found, checked(program)));
      const news = bag(checked({ ...program, ...edit }));
      const request = { id: "id", olds, oldInputs: bag(checked(program)), news, ignoreChanges: [] };
      expect(networkDiff(request).changes).toMatchObject([{ replace: true }]);
    }
  });

  it("is replaced when a gateway that the program chose is taken out of it", () => {
    const chosen: Props = { name: "n", ipamConfigs: [{ subnet: "172.30.0.0/24", gateway: "172.30.0.254" }] };
    const request = { id: "id", oldInputs: bag(checked(chosen)), ignoreChanges: [] };
    const olds = bag(networkState(answer(chosen), checked(chosen)));
    expect(networkDiff({ ...request, olds, news: bag(checked(program)) }).changes).toMatchObject([
      { kind: "delete", replace: true },
    ]);
  });
});

describe("options that an engine adds to every network of its own accord", () => {
  const program: Props = { name: "n", options: { "com.docker.network.bridge.name": "berth-ws0" } };
  const mtu = { "com.docker.network.driver.mtu": "1450" };
  const found = answer(program, {
    Options: { "com.docker.network.bridge.name": "berth-ws0", ...mtu },
  });

  it("are no change, at once and after a refresh", async () => {
    const { oldInputs, changes } = await refreshed(program, networkState(found, checked(program)), found);
    expect(changes).toEqual([]);
    expect(oldInputs).toEqual(checked(program));
  });
  it("are a change where the program named them before, or says otherwise", () => {
    const olds = bag(networkState(found, checked(program)));
    const both = { ...program, options: { ...(program.options as Props), ...mtu } };
    const named = { id: "id", olds, oldInputs: bag(checked(both)), ignoreChanges: [] };
    expect(networkDiff({ ...named, news: bag(checked(program)) }).changes).toHaveLength(1);
    const other = {
      ...program,
      options: { ...(program.options as Props), [Object.keys(mtu)[0] ?? ""]: "9000" },
    };
    expect(networkDiff({ ...named, news: bag(checked(other)) }).changes).toMatchObject([{ replace: true }]);
  });
  it("cannot switch IPv6 on, which would give the network a second subnet", () => {
    expect(networkBody(checked(program))).toMatchObject({ EnableIPv6: false });
  });
});

describe("a volume", () => {
  const made: VolumeInspect = {
    Name: "v",
    Driver: "local",
    Mountpoint: "/var/lib/docker/volumes/v/_data",
    Labels: { "berth.stack": "dev" },
    Options: {},
  };
  it("reads the same from an engine that was restarted, which says null for what is empty", () => {
    const known = { name: "v", labels: [{ label: "berth.stack", value: "dev" }] };
    expect(volumeState({ ...made, Options: null }, known)).toEqual(volumeState(made, known));
  });
});

describe("a container", () => {
  const { inspect, checked: inputs, outputs } = recorded.full as (typeof recorded)[string];
  const edited = (edit: (copy: Inspect) => unknown): Inspect => {
    const copy = structuredClone(inspect);
    edit(copy);
    return copy;
  };
  const restarting = edited((copy) => {
    // Between two tries of its restart policy Docker says that it runs; its ports are released.
    copy.State = { ...copy.State, Status: "restarting", Running: true, Restarting: true, ExitCode: 1 };
    copy.NetworkSettings = { Ports: {}, Networks: {} };
  });
  const paused = edited((copy) => {
    copy.State = { ...copy.State, Status: "paused", Running: true, Paused: true };
  });

  it.each<[string, Inspect, string[]]>([
    ["that waits for its restart policy's next try", restarting, ["mustRun"]],
    ["that is paused", paused, ["mustRun"]],
    ["that runs again, on other addresses", moved(), []],
  ])("%s is brought up, never replaced", (_, found, keys) => {
    for (const known of [inputs, outputs]) {
      const state = containerState(found, known);
      const request = {
        id: "id",
        olds: bag(state),
        oldInputs: bag(inputs),
        news: bag(inputs),
        ignoreChanges: [],
      };
      const { changes } = containerDiff(request);
      expect(changes.map(({ path }) => path[0])).toEqual(keys);
      expect(changes.some(({ replace }) => replace)).toBe(false);
    }
  });

  function moved(): Inspect {
    return edited((copy) => {
      for (const endpoint of Object.values(copy.NetworkSettings?.Networks ?? {})) {
        endpoint.IPAddress = "172.30.0.77";
        endpoint.MacAddress = "02:42:ac:1e:00:4d";
      }
    });
  }

  it("has the exit code of its last try in its outputs", () => {
    expect(containerState(restarting, inputs)).toMatchObject({ mustRun: false, exitCode: 1 });
    expect(containerState(paused, inputs)).not.toHaveProperty("exitCode");
  });

  it("takes log options that the engine adds for its own, and no others", async () => {
    const program = { ...inputs, logDriver: "json-file", logOpts: { "max-size": "5m" } };
    const found = edited((copy) => {
      copy.HostConfig.LogConfig = { Type: "json-file", Config: { "max-size": "5m", compress: "true" } };
    });
    const type = containerType(() => engineWith(found));
    const state = containerState(found, program);
    const read = await type.read?.(
      { id: found.Id, props: bag(state), inputs: bag(program) },
      { ...context(), preview: false },
    );
    expect(read?.inputs).toEqual(program);
    const news = (logOpts: Props) => ({
      id: "id",
      olds: bag(read?.outs ?? {}),
      oldInputs: bag(read?.inputs ?? {}),
      news: bag({ ...program, logOpts }),
      ignoreChanges: [],
    });
    expect(containerDiff(news(program.logOpts)).changes).toEqual([]);
    expect(containerDiff(news({ "max-size": "9m" })).changes).toMatchObject([{ replace: true }]);
    expect(containerFields.logOpts?.completed).toBe(true);
  });
});
