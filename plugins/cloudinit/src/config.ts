/** `cloudinit:index/config:Config` and `cloudinit:index/getConfig:getConfig`. Nothing is touched: both only compute. */
import {
  diffInputs,
  type FunctionType,
  hasUnknown,
  type Path,
  type Props,
  type ResourceType,
  UNKNOWN,
} from "@berth/plugin-base";
import { render } from "./render";
import { configInputs, problemsOf, withDefaults } from "./schema";

/** What holds a secret part is secret itself; the official plugin leaves that to the program. */
const secretsOf = (secrets: readonly Path[]): Path[] => (secrets.length > 0 ? [["rendered"]] : []);

const outputsOf = (inputs: Props): Props => ({ ...withDefaults(inputs), ...render(inputs) });

export const configType: ResourceType = {
  inputs: configInputs,
  check: ({ news }) => ({ failures: problemsOf(news.values) }),
  /**
   * A default that is written out is no change. The official plugin takes a list that only became shorter for an
   * update, which it has not got; here every change replaces.
   */
  diff({ oldInputs, news, ignoreChanges }) {
    const filled = (bag: typeof news) => ({ ...bag, values: withDefaults(bag.values) });
    const changes = diffInputs(configInputs, {
      oldInputs: filled(oldInputs),
      news: filled(news),
      ignoreChanges,
    });
    return { changes };
  },
  async create({ inputs }, { preview }) {
    const secrets = secretsOf(inputs.secrets);
    if (hasUnknown(inputs.values)) {
      return { id: "", outs: { ...withDefaults(inputs.values), id: UNKNOWN, rendered: UNKNOWN }, secrets };
    }
    const outs = outputsOf(inputs.values);
    // The text is known before it is made, so that a preview shows what it changes elsewhere.
    if (preview) return { id: "", outs: { ...outs, id: UNKNOWN }, secrets };
    return { id: String(outs.id), outs, secrets };
  },
  async delete() {},
};

export const getConfigFunction: FunctionType = {
  inputs: configInputs,
  invoke({ values }) {
    const failures = problemsOf(values);
    return failures.length > 0 ? { failures } : { outs: outputsOf(values) };
  },
};
