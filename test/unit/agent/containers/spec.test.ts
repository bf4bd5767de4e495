/**
 * What a request for a container becomes. Proves that nothing outside the allow-list gets through, whoever asks for it,
 * and that all that is wrong is named at once.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CreateRequest, containerSpec, createSchema } from "../../../../agent/src/containers";
import type { SpecContext } from "../../../../agent/src/containers/spec";
import { workspaceName } from "../../../../core/containers";
import type { Grant } from "../../../../core/gpu";
import { GPU1, IMAGE, limitsOf, MIG1 } from "./rig";

const limits = limitsOf("alice");
if (limits === undefined) throw new Error("alice has limits");
const context: SpecContext = {
  stack: "test",
  node: "node-0",
  creation: "0011223344556677",
  image: IMAGE,
  limits,
  addresses: ["127.0.0.1", "10.0.0.5"],
  ports: { start: 20_000, end: 29_999 },
  cpus: 16,
};
const grant: Pick<Grant, "id" | "token" | "units"> = {
  id: "g1",
  token: 42,
  units: [
    { uuid: MIG1, gpu: GPU1, name: "1:1", model: "H100", memoryMiB: 9856, profile: "1g.10gb", shared: false },
  ],
};
const request = (more: object = {}) =>
  createSchema.parse({ user: "alice", image: IMAGE, ...more }) as CreateRequest;

describe("the body of a container", () => {
  it("is this, whole", () => {
    const spec = containerSpec(
      request({
        name: "train",
        command: ["python", "train.py"],
        env: { B: "2", A: "1=1" },
        cpus: 1.5,
        memory: "1GiB",
        shm: "64m",
        ports: [
          { container: 8080, host: 20000 },
          { container: 8080, host: 20000, address: "10.0.0.5" },
        ],
        workdir: "/work",
        run_as: "1000:1000",
      }),
      { ...context, grant, cgroupParent: "/berth.slice/berth-researcher.slice/berth-researcher-alice.slice" },
    );
    expect(spec).toEqual({
      ok: true,
      value: {
        name: "berth-test-alice.train",
        body: {
          Image: IMAGE,
          Hostname: "alice-train",
          Cmd: ["python", "train.py"],
          User: "1000:1000",
          WorkingDir: "/work",
          Env: ["NVIDIA_VISIBLE_DEVICES=void", "A=1=1", "B=2"],
          Labels: {
            "berth.stack": "test",
            "berth.component": "container",
            "berth.node": "node-0",
            "berth.owner": "alice",
            "berth.grant": "g1",
            "berth.grant-token": "42",
            "berth.gpus": MIG1,
            "berth.gpu-memory": "",
            "berth.creation": "0011223344556677",
          },
          StopTimeout: 10,
          Tty: false,
          OpenStdin: false,
          ExposedPorts: { "8080/tcp": {} },
          HostConfig: {
            CapDrop: ["ALL"],
            CapAdd: [
              "CHOWN",
              "DAC_OVERRIDE",
              "FOWNER",
              "FSETID",
              "KILL",
              "NET_BIND_SERVICE",
              "SETGID",
              "SETUID",
            ],
            SecurityOpt: ["no-new-privileges"],
            Privileged: false,
            CgroupnsMode: "private",
            IpcMode: "private",
            Init: true,
            NetworkMode: "berth-containers",
            PortBindings: {
              "8080/tcp": [
                { HostIp: "127.0.0.1", HostPort: "20000" },
                { HostIp: "10.0.0.5", HostPort: "20000" },
              ],
            },
            CgroupParent: "/berth.slice/berth-researcher.slice/berth-researcher-alice.slice",
            DeviceRequests: [{ Driver: "cdi", DeviceIDs: [`nvidia.com/gpu=${MIG1}`] }],
            NanoCpus: 1.5e9,
            Memory: 2 ** 30,
            MemorySwap: 2 ** 30,
            ShmSize: 64 * 2 ** 20,
            PidsLimit: 4096,
            LogConfig: { Type: "local", Config: { "max-size": "10m", "max-file": "3" } },
            RestartPolicy: { Name: "no" },
          },
        },
      },
    });
  });

  it("has no GPU where none was granted, and the limits where nothing is asked", () => {
    const spec = containerSpec(request(), context);
    if (!spec.ok) throw new Error(spec.refusal.message);
    const { body, name } = spec.value;
    expect(name).toBe("berth-test-alice.0011223344556677");
    expect(body.HostConfig.DeviceRequests).toEqual([]);
    expect(body.Env).toEqual(["NVIDIA_VISIBLE_DEVICES=void"]);
    // An image may bring labels of these names along: all of them are set.
    expect(body.Labels).toMatchObject({ "berth.grant": "", "berth.grant-token": "", "berth.gpus": "" });
    expect(body.HostConfig).toMatchObject({ NanoCpus: 8e9, Memory: 2 ** 33, MemorySwap: 2 ** 33 });
  });

  it("has a name that is nobody else's, and a host name that begins with its owner's", () => {
    const named = (user: string, name: string) => {
      const spec = containerSpec(request({ user, name }), { ...context });
      if (!spec.ok) throw new Error(spec.refusal.message);
      return [spec.value.name, spec.value.body.Hostname];
    };
    expect(named("ann", "lee-x")[0]).not.toBe(named("ann-lee", "x")[0]);
    expect(named("workspace", "bob")[0]).not.toBe(workspaceName(context.stack, "bob"));
    expect(named("ann_lee", "proxy")).toEqual(["berth-test-ann_lee.proxy", "ann-lee-proxy"]);
    const other = containerSpec(request({ user: "ann" }), { ...context, namedAfter: "system" });
    expect(other).toMatchObject({
      value: { name: `berth-test-system.${context.creation}`, body: { Labels: { "berth.owner": "ann" } } },
    });
    expect(JSON.stringify(other).match(/ann/g)).toHaveLength(1);
    const [, longest = ""] = named("a".repeat(32), `${"b".repeat(30)}-${"c".repeat(9)}`);
    expect(longest).toBe(`${"a".repeat(32)}-${"b".repeat(30)}`);
  });

  it("names every limit that is gone over, with its rule", () => {
    expect(containerSpec(request({ cpus: 9, memory: "9GiB" }), context)).toEqual({
      ok: false,
      refusal: {
        code: "over-limit",
        message:
          "alice asks for 9 CPUs, and defaults.max_cpus allows 8 CPUs; alice asks for 9GiB, and defaults.memory allows 8GiB",
        allowed: "at most 8 CPUs",
        fix: "ask for less, or raise defaults.max_cpus",
        rule: "defaults.max_cpus",
      },
    });
  });

  it("has the node's CPUs where the limit is of a larger node, and no more where they are asked for", () => {
    const small = { ...context, cpus: 2 };
    expect(containerSpec(request(), small)).toMatchObject({
      value: { body: { HostConfig: { NanoCpus: 2e9 } } },
    });
    const free = { ...limits, max_cpus: { value: null, rule: "defaults" } };
    const unlimited = containerSpec(request(), { ...small, limits: free });
    expect(unlimited.ok && unlimited.value.body.HostConfig).not.toHaveProperty("NanoCpus");
    expect(containerSpec(request({ cpus: 3 }), small)).toEqual({
      ok: false,
      refusal: {
        code: "impossible",
        message: "alice asks for 3 CPUs, and this node has 2",
        allowed: "at most 2 CPUs",
        fix: "ask for less, or leave cpus out",
      },
    });
  });

  it("publishes on ports of the pool alone: the others are Berth's own, Ray's and the users'", () => {
    const ask = (...hosts: number[]) =>
      containerSpec(request({ ports: hosts.map((host) => ({ container: 80, host })) }), context);
    expect(ask(20_000, 29_999)).toMatchObject({ ok: true });
    expect(ask(9700, 10_022, 19_999, 30_000)).toMatchObject({
      ok: false,
      refusal: {
        code: "bad-request",
        message: [9700, 10_022, 19_999, 30_000]
          .map((host, at) => `ports[${at}].host: ${host} is none of 20000 to 29999 (berth:ports.containers)`)
          .join("; "),
      },
    });
    const elsewhere = { ...context, ports: { start: 9000, end: 9999 } };
    expect(containerSpec(request({ ports: [{ container: 80, host: 9700 }] }), elsewhere).ok).toBe(true);
  });

  it("publishes on the node's own addresses alone, each port once", () => {
    const result = containerSpec(
      request({
        memory: "1m",
        ports: [
          { container: 1, host: 20000, address: "0.0.0.0" },
          { container: 2, host: 20001 },
          { container: 3, host: 20001 },
        ],
      }),
      context,
    );
    expect(result).toMatchObject({
      ok: false,
      refusal: {
        code: "bad-request",
        message:
          "memory: 1MiB is less than the 6MiB that Docker takes; " +
          "ports[0].address: 0.0.0.0 is none of 127.0.0.1, 10.0.0.5; ports[2]: 127.0.0.1 20001/tcp stands there twice",
      },
    });
  });
});

describe("what may be asked for", () => {
  it("names all that is wrong at once", () => {
    const { error } = createSchema.safeParse({
      user: "Alice",
      image: "ubuntu:latest",
      privileged: true,
      devices: ["/dev/sda"],
      env: { NVIDIA_VISIBLE_DEVICES: "all", "A B": "x" },
    });
    const said = error?.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
    expect(said?.sort()).toEqual([
      ': Unrecognized keys: "privileged", "devices"',
      "env.A B: is no name of a variable: letters, digits and '_', no digit first, at most 128",
      "env.NVIDIA_VISIBLE_DEVICES: is set by Berth: GPUs come by grant alone; leave it out",
      "image: an image by its id (sha256:…) or by digest (name@sha256:…)",
      "user: a user's name",
    ]);
  });

  it.each([
    ["ubuntu", false],
    ["ubuntu:24.04", false],
    ["sha256:ab", false],
    [`registry.example:5000/a/b@sha256:${"0f".repeat(32)}`, true],
    [`sha256:${"0f".repeat(32)}`, true],
    [`../../x@sha256:${"0f".repeat(32)}`, false],
  ])("image %s: %s", (image, ok) => {
    expect(createSchema.safeParse({ user: "alice", image }).success).toBe(ok);
  });

  it.each([
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_REQUIRE_CUDA",
    "NVIDIA_MIG_CONFIG_DEVICES",
    "NVIDIA_IMEX_CHANNELS",
  ])("keeps %s to itself", (name) => {
    expect(createSchema.safeParse({ user: "alice", image: IMAGE, env: { [name]: "x" } }).success).toBe(false);
    expect(
      createSchema.safeParse({ user: "alice", image: IMAGE, env: { NVIDIA_TF32_OVERRIDE: "0" } }).success,
    ).toBe(true);
  });

  it("gives no body a key, a capability or a device that is not of the list, whatever is sent", () => {
    const known = Object.keys(createSchema.shape);
    const junk = fc.oneof(
      fc.string(),
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.array(fc.string(), { maxLength: 2 }),
    );
    const keys = fc.oneof(
      fc.constantFrom(...known),
      fc.constantFrom(
        "HostConfig",
        "privileged",
        "devices",
        "binds",
        "mounts",
        "capAdd",
        "runtime",
        "pid",
        "__proto__",
      ),
    );
    const bodies = fc.dictionary(keys, junk, { maxKeys: 4 });
    const usual = { user: "alice", image: IMAGE, command: ["x"], env: { A: "b" }, pids: 5, tty: true };
    const allowed = containerSpec(
      request({
        ...usual,
        ports: [{ container: 1, host: 20000 }],
        workdir: "/",
        run_as: "a",
        entrypoint: ["x"],
        shm: "1g",
      }),
      { ...context, grant, cgroupParent: "/x" },
    );
    if (!allowed.ok) throw new Error(allowed.refusal.message);
    const keysOf = (value: object) => new Set(Object.keys(value));
    const outer = keysOf(allowed.value.body);
    const inner = keysOf(allowed.value.body.HostConfig);
    fc.assert(
      fc.property(bodies, (extra) => {
        const parsed = createSchema.safeParse({ ...usual, ...extra });
        if (!parsed.success) return;
        for (const key of Object.keys(extra)) expect(known).toContain(key);
        const spec = containerSpec(parsed.data as CreateRequest, context);
        if (!spec.ok) return;
        const { HostConfig: host } = spec.value.body;
        for (const key of Object.keys(spec.value.body)) expect(outer).toContain(key);
        for (const key of Object.keys(host)) expect(inner).toContain(key);
        expect(host).toMatchObject({
          CapDrop: ["ALL"],
          Privileged: false,
          DeviceRequests: [],
          NetworkMode: "berth-containers",
        });
        expect(host.CapAdd).toHaveLength(8);
        expect(spec.value.body.Env.filter((line) => line.startsWith("NVIDIA_VISIBLE_DEVICES="))).toHaveLength(
          1,
        );
      }),
      { numRuns: 500 },
    );
  });
});
