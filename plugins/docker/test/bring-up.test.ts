/** An update of a container that should run and does not: it is brought up, or the error says why it stays down. */
import type { Props } from "@berth/plugin-base";
import { ProviderError } from "@berth/plugin-base";
import { describe, expect, it } from "vitest";
import { containerType } from "../src/container";
import type { Inspect } from "../src/container/inspect";
import { containerState } from "../src/container/state";
import type { Engine } from "../src/engine/engine";
import { bag, context, recorded } from "./support";

const { inspect, checked: inputs } = recorded.full as (typeof recorded)[string];
type State = Inspect["State"];

const RUNNING: State = { Status: "running", Running: true, ExitCode: 0 };
const EXITED: State = { Status: "exited", Running: false, ExitCode: 137 };
const CREATED: State = { Status: "created", Running: false, ExitCode: 0 };
const RESTARTING: State = { Status: "restarting", Running: true, Restarting: true, ExitCode: 1 };
const PAUSED: State = { Status: "paused", Running: true, Paused: true, ExitCode: 0 };

/** An engine with the one container; `then` is how it is after it was told anything. */
function engineWith(before: State, then: State | Error) {
  const said: string[] = [];
  let state = before;
  const tell = (verb: string) => async () => {
    said.push(verb);
    if (then instanceof Error) throw then;
    state = then;
  };
  const container = {
    inspect: async () => ({ ...structuredClone(inspect), State: state }),
    ...{ start: tell("start"), restart: tell("restart"), unpause: tell("unpause"), update: tell("update") },
  };
  const work = async (
    _what: string,
    _options: unknown,
    todo: (docker: unknown, signal: unknown) => unknown,
  ) => todo({ getContainer: () => container }, undefined);
  return { engine: { call: work, find: work } as unknown as Engine, said };
}

async function update(engine: Engine, olds: Props, news: Props = inputs, said?: string[]): Promise<Props> {
  const type = containerType(() => engine);
  const request = { id: inspect.Id, olds: bag(olds), oldInputs: bag(inputs), news: bag(news) };
  const log = (severity: string, message: string) => void said?.push(`${severity}: ${message}`);
  return (await type.update?.(request, { ...context(), log }))?.outs ?? {};
}

const read = (state: State) => containerState({ ...structuredClone(inspect), State: state }, inputs);

describe("a container that should run", () => {
  it.each<[string, State, string]>([
    ["ended", EXITED, "start"],
    ["never started", CREATED, "start"],
    ["waits for its restart policy's next try", RESTARTING, "restart"],
    ["is paused", PAUSED, "unpause"],
  ])("and %s is told to go on, once", async (_, before, verb) => {
    const { engine, said } = engineWith(before, RUNNING);
    const outs = await update(engine, read(before));
    expect(said).toEqual([verb]);
    expect(outs.mustRun).toBe(true);
    expect(outs).not.toHaveProperty("exitCode");
  });

  const STUBBORN: [string, State | Error, RegExp][] = [
    ["ends again at once", { ...EXITED, ExitCode: 3 }, /ended at once with status 3.*docker logs/],
    ["crashes on and on", { ...RESTARTING, Error: "no such file" }, /status 1 \(no such file\)/],
    ["cannot be started", new ProviderError("could not select device driver"), /select device driver/],
  ];
  it.each(STUBBORN)("and %s fails the update, which is still to do afterwards", async (_, then, words) => {
    const { engine } = engineWith(EXITED, then);
    const failed = await update(engine, read(EXITED)).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(ProviderError);
    expect((failed as ProviderError).message).toMatch(words);
    expect((failed as ProviderError).partial?.outs.mustRun).toBe(false);
  });

  // Whoever works in it is root there: `rm` of its entry must not end the operator's update.
  it.each(STUBBORN)(
    "and is a workspace is told of where it %s, and is still to be started afterwards",
    async (_, then, words) => {
      for (const before of [EXITED, RESTARTING]) {
        const { engine } = engineWith(before, then);
        const news = { ...inputs, labels: [{ label: "berth.component", value: "workspace" }] };
        const said: string[] = [];
        const outs = await update(
          engine,
          containerState({ ...structuredClone(inspect), State: before }, news),
          news,
          said,
        );
        expect(outs.mustRun).toBe(false);
        expect(said).toEqual([expect.stringMatching(words)]);
        expect(said[0]).toMatch(/^warning: .*The update goes on without it/);
      }
    },
  );

  it("and does is left alone", async () => {
    const { engine, said } = engineWith(RUNNING, RUNNING);
    await update(engine, read(RUNNING));
    expect(said).toEqual([]);
  });
});

it("a container that may be down stays down", async () => {
  for (const state of [EXITED, PAUSED, RESTARTING]) {
    const { engine, said } = engineWith(state, RUNNING);
    const news = { ...inputs, mustRun: false };
    await update(engine, containerState({ ...structuredClone(inspect), State: state }, news), news);
    expect(said).toEqual([]);
  }
});
