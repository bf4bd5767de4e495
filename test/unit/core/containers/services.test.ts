/**
 * The services of a workspace. Proves: the lists that are derived from the one list, whose ports stacks have; the ports
 * inside the container are those that the workspace image listens on.
 */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import {
  publishedPorts,
  servicePorts,
  WEB_SERVICES,
  WORKSPACE_INNER_PORTS,
  WORKSPACE_SERVICES,
} from "../../../../core/containers";

const ports = servicePorts(10_100);

it("have their places in a person's block", () => {
  // In this order they stand in workspace.json, whose change would be told to every workspace.
  expect(Object.entries(ports)).toEqual([
    ["vnc", 10_100],
    ["novnc", 10_101],
    ["code", 10_102],
    ["jupyter", 10_103],
    ["tensorboard", 10_104],
    ["rdp", 10_105],
    ["ssh", 10_122],
  ]);
  expect(WEB_SERVICES).toEqual(["code", "jupyter", "tensorboard"]);
});

it("are published by SSH's port alone, and for browsers where the stack says so", () => {
  const ssh = { container: 22, host: 10_122 };
  expect(publishedPorts(ports, false)).toEqual([ssh]);
  expect(publishedPorts(ports, true)).toEqual([
    ssh,
    { container: 10_102, host: 10_102 },
    { container: 10_103, host: 10_103 },
    { container: 10_104, host: 10_104 },
  ]);
});

it("listen inside as the workspace image says", () => {
  const path = "images/workspace/root/usr/local/lib/berth/berth_workspace/render.py";
  const { ssh, jupyter, tensorboard } = WORKSPACE_SERVICES;
  expect(readFileSync(path, "utf8")).toContain(
    `SSH, JUPYTER_BEHIND, TENSORBOARD_BEHIND = ${ssh.inside}, ${jupyter.behind}, ${tensorboard.behind}\n`,
  );
  expect(WORKSPACE_INNER_PORTS).toEqual([22, 6006, 8888]);
});
