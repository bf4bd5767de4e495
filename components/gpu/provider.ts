import type { MigConfig } from "../../config";
import {
  type Assignment,
  type DeclaredPlan,
  type EffectiveLimits,
  type Grant,
  heldLayouts,
  type Inventory,
  planDeclared,
  type Refusal,
  unseenLayouts,
} from "../../core/gpu";
import { resolveLimits } from "../../core/limits";
import { declaredGrants, differences, given, limitsOf, type PoolInputs, type Props } from "./inputs";
import { knownGrants } from "./known";
import { askBerth, type CallOptions, type Reach, refusalText, type Told } from "./remote";
import { assignmentOf } from "./state";
import { type Granted, granted, withFaults } from "./units";

/**
 * The methods of a GpuPool, as Pulumi's process for dynamic providers calls them: one pool, all grants that the stack
 * declares for one node. Who gets what is decided in `check`, by the same planner that the node runs, so that a
 * preview shows it; `create` and `update` have the node grant exactly that, or nothing.
 */

const SECOND = 1000;
const LOOK = { deadline: 40 * SECOND };
const APPLY = 90 * SECOND;

/**
 * Why a pool cannot be, as the engine takes it. `property` stays empty: where it names one, the engine prints that
 * property's whole value before the reason, as Go prints a map (GetResourcePropertyInvalidValueError).
 */
interface CheckFailure {
  property: "";
  reason: string;
}

const failuresFrom = (reasons: readonly string[]): CheckFailure[] =>
  reasons.map((reason) => ({ property: "", reason }));

/** What the node says of itself: `GET /api/declared`. */
interface Snapshot {
  assignment: Assignment;
  inventory: Inventory;
  /** Those that hold something. */
  grants: Grant[];
  /** Why nothing new is granted. */
  closed?: string;
}

/** What there is to plan with. */
interface View {
  /** Undefined: nobody knows yet. */
  inventory?: Inventory;
  /** Where the node was not asked: those that the state knows. */
  grants: Grant[];
  /** What the node itself says that it has now. */
  now?: Inventory;
  closed?: string;
  /** Why the node itself was not asked, or what it said in place of an answer; for people. */
  instead?: string;
  /** Why nobody knows who holds what by now, though there is, or was, a ledger. */
  unseen?: string;
  /** Why nothing may be planned with what answers there. */
  failure?: string;
}

/** Shown with the resource's other messages. */
function tell(node: string, text: string): void {
  console.error(`${node}: ${text}`);
}

function reachOf(props: Props): Reach | undefined {
  const target = given(props, "target");
  const sshOptions = given(props, "sshOptions");
  // A machine that is made, or made anew, in this run is not there yet, or is not the one that would answer.
  if (target === undefined || sshOptions === undefined || given(props, "machine") === undefined)
    return undefined;
  return { target, sshOptions };
}

/** On a node that this update has not reached yet, berth may be older than these words: it calls them `pool`. */
async function call(reach: Reach, command: "show" | "apply", options: CallOptions): Promise<Told> {
  const told = await askBerth(reach, ["declared", command, "--json"], options);
  if (!notUnderstood(told)) return told;
  const older = await askBerth(reach, ["pool", command, "--json"], options);
  return notUnderstood(older) ? told : older;
}

/** berth does not know the words, or does not take what they were sent with. */
const notUnderstood = (told: Told) => told.kind === "refused" && told.refusal?.code === "bad-request";

function snapshotOf(value: unknown): Snapshot | undefined {
  const { assignment, inventory, grants } = (value ?? {}) as Partial<Snapshot>;
  const whole = typeof assignment === "object" && Array.isArray(inventory?.gpus) && Array.isArray(grants);
  return whole ? (value as Snapshot) : undefined;
}

/** @param before the inputs of the state, where they are of the same machine. */
async function look(news: Props, before: Props): Promise<View> {
  const declared = given(news, "inventory");
  const known = given(before, "inventory");
  const nothing: View = {
    grants: [],
    ...optional("inventory", declared ? withFaults(declared, known) : known),
  };
  const users = { ...given(news, "declared"), ...given(before, "declared") };
  const offline: View = { ...nothing, grants: knownGrants(assignmentOf(before) ?? {}, users) };
  const reach = reachOf(news);
  if (!reach) return { ...offline, unseen: "its address is not known yet" };
  const told = await call(reach, "show", LOOK);
  switch (told.kind) {
    case "answer": {
      const snapshot = snapshotOf(told.value);
      if (!snapshot) return notAsked(offline, "its berth is of another version");
      const { inventory, grants, closed } = snapshot;
      return {
        // What the stack declares may be more than what the node was told the last time.
        inventory: declared ? withFaults(declared, inventory) : inventory,
        grants,
        now: inventory,
        ...optional("closed", closed),
      };
    }
    case "absent":
      return nothing;
    case "untrusted":
      return { ...offline, failure: `${reach.target}: ${told.reason}` };
    default:
      return notAsked(offline, told.reason);
  }
}

const notAsked = (offline: View, why: string): View => ({ ...offline, instead: why, unseen: why });

function optional<K extends string, V>(key: K, value: V | undefined): { [key in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [key in K]?: V });
}

/** The inputs that decide who gets what; undefined as long as one of them is not known. */
function wishes(props: Props) {
  const declared = given(props, "declared");
  const limits = given(props, "limits");
  const groups = given(props, "groups");
  const strategy = given(props, "strategy");
  const allowShared = given(props, "allowShared");
  if (!declared || limits === undefined || !groups || !strategy || allowShared === undefined)
    return undefined;
  return { declared: declaredGrants(declared), limits, groups, strategy, allowShared };
}

function plan(
  wanted: NonNullable<ReturnType<typeof wishes>>,
  view: View,
  previous: Assignment,
): DeclaredPlan {
  const document = limitsOf(wanted.limits);
  const known = new Set(wanted.declared.map(({ user }) => user));
  const of = (user: string): EffectiveLimits | undefined =>
    known.has(user) ? resolveLimits(document, user, wanted.groups[user]) : undefined;
  return planDeclared({
    inventory: view.inventory ?? { source: "none", gpus: [] },
    grants: view.grants,
    declared: wanted.declared,
    limitsOf: of,
    strategy: wanted.strategy,
    allowShared: wanted.allowShared,
    previous,
  });
}

/** What is free now, and waiting for it, is advice for people on the node; a stack is asked otherwise or not at all. */
function forStack(refusal: Refusal): Refusal {
  const { code, message, rule } = refusal;
  if (code !== "busy") return refusal;
  return {
    code,
    message,
    rule,
    fix: "ask for something else or on another node, or take it from who has it",
  };
}

/** Every reason at once why a plan cannot be. */
function failuresOf(node: string, found: DeclaredPlan, closed: string | undefined): string[] {
  const refused = found.refusals.map(
    ({ key, refusal }) => `${key} on ${node}: ${refusalText(forStack(refusal))}`,
  );
  const wanted = [...found.added, ...found.moved.map(({ key }) => key)];
  const shut = wanted.map(
    (key) => `${key} on ${node}: nothing new is granted there at the moment: ${closed}`,
  );
  return closed === undefined ? refused : [...refused, ...shut];
}

/** GPUs that somebody holds are not divided anew; nor those of a known node that does not say who holds them. */
function layoutFailures(node: string, news: Props, before: Props, view: View): string[] {
  const { now, grants, unseen } = view;
  const declared = given(news, "inventory");
  const layouts = given(news, "layouts");
  const wanted = (text: string | undefined) => ({
    ...optional("declared", declared),
    ...(text === undefined ? {} : { mig: JSON.parse(text) as MigConfig }),
  });
  const has = now ?? given(before, "inventory");
  const said = (): (string | undefined)[] => {
    if (now) return heldLayouts(now, grants, wanted(layouts));
    if (unseen === undefined || given(before, "machine") === undefined) return [];
    // A layout that was asked for before was checked then.
    const changed = layouts === given(before, "layouts") ? undefined : layouts;
    return [unseenLayouts(has, wanted(changed), unseen)];
  };
  return said().flatMap((text) => (text === undefined ? [] : [`${node}: ${text}`]));
}

async function check(olds: Props, news: Props): Promise<{ inputs: Props; failures?: CheckFailure[] }> {
  const node = given(news, "node") ?? "the node";
  const machine = given(news, "machine");
  const before = machine !== undefined && olds.machine === machine ? olds : {};
  const kept = assignmentOf(before);
  const asBefore = { ...news, ...(kept && granted(kept)) };
  const wanted = wishes(news);
  if (!wanted) return { inputs: asBefore };

  const view = await look(news, before);
  if (view.failure) return { inputs: news, failures: failuresFrom([view.failure]) };
  if (view.instead !== undefined) {
    const then = view.inventory ? "planned with what was known of it" : "who gets which GPU is not known yet";
    tell(node, `it was not asked for its GPUs (${view.instead}); ${then}. An update asks it again.`);
  }
  const cut = layoutFailures(node, news, before, view);
  if (!view.inventory)
    return cut.length > 0 ? { inputs: news, failures: failuresFrom(cut) } : { inputs: asBefore };

  const found = plan(wanted, view, kept ?? {});
  for (const over of found.overLimit) tell(node, `kept, though it is more than the limits say: ${over}`);
  for (const { key, units, heldBy } of found.waits) {
    const names = units.map((unit) => unit.name).join(", ");
    tell(
      node,
      `GPU ${names} goes to ${key}; the update stops the container of ${heldBy}, which has it still`,
    );
  }
  const failures = [...failuresOf(node, found, view.closed), ...cut];
  if (failures.length > 0) return { inputs: news, failures: failuresFrom(failures) };
  return { inputs: { ...news, inventory: view.inventory, ...granted(found.assignment) } };
}

/** Never a replacement: a pool that is made anew would forget who had what. */
async function diff(
  _id: string,
  olds: Props,
  news: Props,
): Promise<{ changes: boolean; replaces: string[] }> {
  return { changes: differences(olds, news).length > 0, replaces: [] };
}

/** Has the node grant what the inputs say, or fails with what it said. */
async function apply(props: Props): Promise<Props & Granted> {
  const inputs = await decided(props);
  const reach = reachOf(inputs);
  if (!reach) throw new Error(`${inputs.node}: its address or its key is not known`);
  const expect = assignmentOf(inputs);
  const input = { declared: declaredGrants((inputs as unknown as PoolInputs).declared), expect };
  const told = await call(reach, "apply", { input, deadline: APPLY });
  if (told.kind !== "answer") throw new Error(`${inputs.node}: ${notApplied(told)}`);
  const { assignment } = (told.value ?? {}) as { assignment?: Assignment };
  if (typeof assignment !== "object" || assignment === null)
    throw new Error(`${inputs.node}: its berth is of another version: it did not say what was granted`);
  return { ...inputs, ...granted(assignment) };
}

/** The inputs with who gets what, where the check of this run could not say it yet. */
async function decided(props: Props): Promise<Props> {
  if (assignmentOf(props)) return props;
  const { inputs, failures = [] } = await check({}, props);
  if (failures.length > 0) throw new Error(failures.map(({ reason }) => reason).join("\n"));
  if (!assignmentOf(inputs))
    throw new Error(
      `${props.node}: it cannot be said who gets which GPU: the node was not asked, and the stack does not declare ` +
        "its GPUs. Once the node answers, run the stack again",
    );
  return inputs;
}

function notApplied(told: Exclude<Told, { kind: "answer" }>): string {
  switch (told.kind) {
    case "absent":
      return "there is no berth on it, so nothing was granted. The agent's stage puts it there: run the stack again";
    case "untrusted":
      return `nothing was granted: it shows another host key than the known one (${told.reason})`;
    case "unreachable":
      return `it cannot be reached, so it is not known whether the GPUs were granted (${told.reason}). Run the stack again`;
    case "garbage":
      return told.reason;
    case "refused":
      return told.refusal?.code === "conflict"
        ? `nothing was granted, since it is no longer as the preview showed it: ${told.reason} Run the stack again: the next preview shows what there is now`
        : `nothing was granted: ${told.reason}`;
    default:
      return told satisfies never;
  }
}

async function create(props: Props): Promise<{ id: string; outs: Props }> {
  const outs = await apply(props);
  return { id: String(props.node), outs };
}

async function update(_id: string, _olds: Props, news: Props): Promise<{ outs: Props }> {
  return { outs: await apply(news) };
}

/** What the node's ledger says: another assignment shows up as a change, and a node without ledger as a loss. */
async function read(id: string, props: Props): Promise<{ id: string; props?: Props; inputs?: Props }> {
  const reach = reachOf(props);
  if (!reach) throw new Error(`${id}: the state does not say how it is reached`);
  const told = await call(reach, "show", LOOK);
  if (told.kind === "absent") return { id: "" };
  if (told.kind !== "answer") throw new Error(`${id}: its GPUs cannot be asked for: ${told.reason}`);
  const snapshot = snapshotOf(told.value);
  if (!snapshot) throw new Error(`${id}: its berth is of another version; run the stack to renew it`);
  const now = { ...props, inventory: snapshot.inventory, ...granted(snapshot.assignment) };
  return { id, props: now, inputs: now };
}

/**
 * Gives back what the stack declared; what a container still has it keeps until it is gone. A machine that goes takes
 * its ledger along, so this is not called then; a machine that stays has to be told.
 */
async function remove(id: string, props: Props): Promise<void> {
  const reach = reachOf(props);
  if (!reach) return tell(id, "the state does not say how it is reached: nothing was given back there");
  const told = await call(reach, "apply", { input: { declared: [] }, deadline: APPLY });
  switch (told.kind) {
    case "answer":
      return;
    case "absent":
      return tell(id, "there is no berth on it any more, so nothing is granted there");
    default:
      throw new Error(
        `${id}: its grants were not given back (${told.reason}). Mend the node and run this again. If it is gone ` +
          "for good, take the pool out of the state: npm run -s env, then pulumi state delete URN",
      );
  }
}

export const provider = { check, diff, create, read, update, delete: remove };
export type PoolProvider = typeof provider;
