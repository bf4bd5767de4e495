/**
 * Templates of the container manager. Proves: the defaults are those of the documentation, everything that is wrong is said at
 * once and by its place, and a template's hash changes with what makes another container and with nothing else.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  needOf,
  type Template,
  templateHash,
  templateSchema,
  templatesSchema,
} from "../../../../core/manager";
import { issueTexts } from "../../../../core/problems";

const least = { name: "web", image: "node:24-slim" };
const template = (more: object = {}): Template => templateSchema.parse({ ...least, ...more });

function problems(more: object): string[] {
  const read = templateSchema.safeParse({ ...least, ...more });
  return read.success ? [] : issueTexts(read.error);
}

describe("a template", () => {
  it("has the documented defaults", () => {
    expect(template()).toEqual({
      name: "web",
      image: "node:24-slim",
      memory: "512MiB",
      cpus: 1,
      pids: 4096,
      containerPorts: [3000],
      targetSize: 3,
      minSize: 1,
      maxCreating: 2,
      schedule: [],
      timeZone: "UTC",
    });
  });

  it("fills in the defaults of its parts", () => {
    const { health, schedule, gpus } = template({
      health: { command: ["node", "--version"] },
      schedule: [{ from: "08:00", to: "18:00", targetSize: 9 }],
      gpus: { kind: "gpu" },
    });
    expect(health).toEqual({ command: ["node", "--version"], timeoutSeconds: 60 });
    expect(schedule[0]?.days).toEqual(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]);
    expect(gpus).toEqual({ kind: "gpu", count: 1 });
  });

  it.each([
    ["no pool at all, with the default minimum", { targetSize: 0 }],
    ["a minimum that the schedule alone reaches", { minSize: 5, schedule: [at("08:00", "09:00", 5)] }],
    ["no port", { containerPorts: [] }],
    ["an image by digest", { image: `registry.example:5000/a/b@sha256:${"0".repeat(64)}` }],
    ["an image by its whole id", { image: `sha256:${"0f".repeat(32)}` }],
    ["an image of a registry in capitals", { image: "Reg.Example:5000/a" }],
    ["an image of a registry with a port and a tag", { image: "reg.example:5000/team/tools_a/lint:V1.2" }],
    ["Docker's letters", { memory: "2g" }],
    ["a night", { schedule: [at("22:00", "06:00", 0)] }],
    ["a whole day", { schedule: [at("00:00", "24:00", 0)] }],
    ["a time zone", { timeZone: "Australia/Sydney" }],
  ])("may have %s", (_what, more) => expect(problems(more)).toEqual([]));

  it.each([
    ["a name with a dot", { name: "a.b" }, /^name: is no name/],
    ["a name with a slash", { name: "../a" }, /^name: is no name/],
    ["an option in place of an image", { image: "--privileged" }, /^image: is no name of an image/],
    ["an image with a line break", { image: "node:24\n" }, /^image: is no name of an image/],
    ["an image with two tags", { image: "node:24:1" }, /^image: is no name of an image/],
    ["an image with an empty tag", { image: "node:" }, /^image: is no name of an image/],
    ["an image with an empty part", { image: "a//b" }, /^image: is no name of an image/],
    ["an image with '..' in it", { image: "a/../b" }, /^image: is no name of an image/],
    ["an image by the beginning of an id", { image: "sha256:0f0f" }, /^image: is no name of an image/],
    ["an image by more than an id", { image: `sha256:${"0".repeat(65)}` }, /^image: is no name of an image/],
    ["an image of 513 characters", { image: `a${"/a".repeat(256)}` }, /^image: is no name of an image/],
    ["memory without a unit", { memory: "512" }, /^memory: is no size from 8MiB on/],
    ["memory as a number", { memory: 512 }, /^memory: /],
    ["hardly any memory", { memory: "1MiB" }, /^memory: is no size from 8MiB on/],
    ["more memory than a number holds", { memory: "99999999999g" }, /^memory: is no size/],
    ["no CPU", { cpus: 0 }, /^cpus: /],
    ["CPUs without end", { cpus: Number.POSITIVE_INFINITY }, /^cpus: /],
    ["port 0", { containerPorts: [0] }, /^containerPorts\[0\]: /],
    ["a port twice", { containerPorts: [3000, 80, 3000] }, /^containerPorts: names a port twice$/],
    ["a pool of less than none", { targetSize: -1 }, /^targetSize: /],
    ["a pool without measure", { targetSize: 1e9 }, /^targetSize: /],
    ["half a container", { minSize: 0.5 }, /^minSize: /],
    ["a minimum above the target", { minSize: 4 }, /^minSize: is 4, and the pool never keeps more than 3/],
    ["no creation at a time", { maxCreating: 0 }, /^maxCreating: /],
    ["an empty health command", { health: { command: [] } }, /^health\.command: /],
    ["a NUL in it", { health: { command: ["a\0b"] } }, /^health\.command\[0\]: has a NUL character$/],
    ["a health check without end", { health: { command: ["x"], timeoutSeconds: 1e6 } }, /^health\.timeoutS/],
    ["a time to live of a second", { ttlSeconds: 1 }, /^ttlSeconds: /],
    ["an hour 25", { schedule: [at("25:00", "09:00", 1)] }, /^schedule\[0\]\.from: is no time/],
    ["a time without its zero", { schedule: [at("8:00", "09:00", 1)] }, /^schedule\[0\]\.from: is no time/],
    [
      "a beginning at the day's end",
      { schedule: [at("24:00", "08:00", 1)] },
      /from: is "00:00" of the next day/,
    ],
    [
      "a span of nothing",
      { schedule: [at("08:00", "08:00", 1)] },
      /^schedule\[0\]\.to: is the same as "from"/,
    ],
    ["a day that is none", { schedule: [{ ...at("08:00", "09:00", 1), days: ["Monday"] }] }, /days\[0\]: /],
    [
      "a day twice",
      { schedule: [{ ...at("08:00", "09:00", 1), days: ["mon", "mon"] }] },
      /names a day twice/,
    ],
    ["no day", { schedule: [{ ...at("08:00", "09:00", 1), days: [] }] }, /^schedule\[0\]\.days: /],
    ["a time zone that is none", { timeZone: "Mars/Olympus" }, /^timeZone: is no time zone/],
    ["no time zone", { timeZone: "" }, /^timeZone: is no time zone/],
    ["no GPUs", { gpus: { kind: "gpu", count: 0 } }, /^gpus\.count: /],
    ["a key that nothing knows", { size: 3 }, /^size: not allowed$/],
  ])("may not have %s", (_what, more, said) => {
    expect(problems(more)).toEqual([expect.stringMatching(said)]);
  });

  it("says everything that is wrong at once", () => {
    expect(
      problems({ memory: "x", cpus: 0, containerPorts: [0], timeZone: "x", schedule: [{}] }),
    ).toHaveLength(7);
  });
});

describe("the templates of a node", () => {
  it("each have a name of their own", () => {
    const read = templatesSchema.safeParse([least, { ...least, name: "py" }, least]);
    expect(read.success ? [] : issueTexts(read.error, ["templates"])).toEqual([
      "templates[2].name: is the name of [0] too",
    ]);
    expect(templatesSchema.safeParse([least, { ...least, name: "py" }]).success).toBe(true);
  });
});

describe("the hash of a template", () => {
  const full = {
    memory: "1GiB",
    containerPorts: [3000, 8080],
    health: { command: ["true"], timeoutSeconds: 5 },
    gpus: { kind: "mig", count: 1, profile: "1g.10gb" },
  };
  const hash = (more: object = {}, image?: string) => templateHash(template({ ...full, ...more }), image);

  it("is 16 hexadecimal digits", () => expect(hash()).toMatch(/^[0-9a-f]{16}$/));

  it.each([
    ["its name", { name: "other" }],
    ["the size of its pool", { targetSize: 9, minSize: 2, maxCreating: 5 }],
    ["its schedule", { schedule: [at("08:00", "09:00", 5)], timeZone: "Europe/Berlin" }],
    ["how long a container lives", { ttlSeconds: 600 }],
    ["how long a health check takes", { health: { command: ["true"], timeoutSeconds: 50 } }],
    ["how a size is written", { memory: "1024MiB" }],
    ["a default that is written out", { pids: 4096, cpus: 1 }],
    ["the order of an ask's keys", { gpus: { profile: "1g.10gb", count: 1, kind: "mig" } }],
  ])("stays with %s", (_what, more) => expect(hash(more)).toBe(hash()));

  const changes: [string, object][] = [
    ["the image", { image: "node:26-slim" }],
    ["the memory", { memory: "2GiB" }],
    ["the CPUs", { cpus: 2 }],
    ["the processes", { pids: 100 }],
    ["the ports", { containerPorts: [3000] }],
    ["which port is the first", { containerPorts: [8080, 3000] }],
    ["the health check", { health: { command: ["false"] } }],
    ["that there is none", { health: undefined }],
    ["the GPUs", { gpus: { kind: "gpu" } }],
  ];

  it.each(changes)("changes with %s", (_what, more) => expect(hash(more)).not.toBe(hash()));

  it("is another one for each change", () => {
    expect(new Set([{}, ...changes.map(([, more]) => more)].map((more) => hash(more))).size).toBe(
      changes.length + 1,
    );
  });

  it("changes when the image's name comes to mean another image", () => {
    expect(hash({}, "sha256:1")).not.toBe(hash({}, "sha256:2"));
    expect(hash({ image: "a:1" }, "sha256:1")).toBe(hash({ image: "a:2" }, "sha256:1"));
  });

  it("tells arguments of a health check apart, however they are cut", () => {
    const command = fc.array(
      fc.string({ maxLength: 3 }).filter((text) => !text.includes("\0")),
      {
        minLength: 1,
        maxLength: 4,
      },
    );
    fc.assert(
      fc.property(command, command, (a, b) => {
        const same = JSON.stringify(a) === JSON.stringify(b);
        expect(hash({ health: { command: a } }) === hash({ health: { command: b } })).toBe(same);
      }),
    );
  });
});

describe("what a container of a template takes", () => {
  it.each([
    ["512MiB", 512],
    ["512MB", 489],
    ["2g", 2048],
  ])("is of %s of memory %i MiB", (memory, memoryMiB) => {
    expect(needOf(template({ memory, cpus: 0.5 }))).toEqual({
      memoryMiB,
      cpus: 0.5,
      pids: 4096,
      diskMiB: 1024,
    });
  });
});

function at(from: string, to: string, targetSize: number) {
  return { from, to, targetSize };
}
