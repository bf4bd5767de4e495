/** `cloudinit:index/getConfig:getConfig`. Nothing is touched: it only computes. */
import type { FunctionType } from "@berth/plugin-base";
import { render } from "./render";
import { configInputs, problemsOf, withDefaults } from "./schema";

export const getConfigFunction: FunctionType = {
  inputs: configInputs,
  invoke({ values }) {
    const failures = problemsOf(values);
    return failures.length > 0 ? { failures } : { outs: { ...withDefaults(values), ...render(values) } };
  },
};
