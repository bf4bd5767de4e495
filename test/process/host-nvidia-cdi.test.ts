/**
 * The step that writes NVIDIA's CDI devices, run for real by bash on a stand-in machine; the stand-in of nvidia-ctk parses
 * what it lists. Proves: there is one list, whoever wrote others in whatever form. Does not prove that a GPU is found.
 */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { nvidiaMachine } from "./host-nvidia-helpers";

const asRoot = describe.runIf(process.getuid?.() === 0);
const { at, read, write, calls, listed, run, node, ownRefresh } = nvidiaMachine();

asRoot("the list of devices", () => {
  const CDI = ["GPU and its driver", "CDI devices"];
  const spec = "var/run/cdi/nvidia.yaml";

  it("is kept by the toolkit's own units, in time for Docker", () => {
    node();
    const { facts } = run({}, CDI);
    expect(facts.changed).toEqual(expect.arrayContaining(["nvidia-cdi-refresh.path enabled", at(spec)]));
    expect(read("etc/systemd/system/nvidia-cdi-refresh.service.d/berth.conf")).toMatch(
      /^Before=docker\.service$/m,
    );
    expect(existsSync(at("etc/systemd/system/berth-cdi.service"))).toBe(false);
    expect(existsSync(at("active/nvidia-cdi-refresh.path"))).toBe(true);
  });

  it("is kept by units of ours where the toolkit has none, and given back when it has", () => {
    node({ refresh: false });
    ownRefresh();
    expect(run({}, CDI).facts.changed).toEqual(
      expect.arrayContaining(["berth-cdi.path enabled", "berth-cdi.service enabled"]),
    );
    expect(read("etc/systemd/system/berth-cdi.path")).toContain("PathChanged=/lib/modules/%v/modules.dep\n");
    expect(run({}, CDI).facts).toMatchObject({ changed: [] });
    node();
    run({}, CDI);
    expect(existsSync(at("etc/systemd/system/berth-cdi.path"))).toBe(false);
    expect(calls()).toContain("systemctl disable -q --now berth-cdi.path berth-cdi.service");
  });

  it("is one: an older file with the same devices is put aside, another maker's stays", () => {
    node();
    const devices = [{ name: "0", containerEdits: {} }];
    const spec = (kind: string) => ({ cdiVersion: "0.5.0", kind, devices });
    write("etc/cdi/nvidia.yaml", stringify(spec("nvidia.com/gpu"), { directives: true }));
    write(
      "etc/cdi/flow.yaml",
      "# a comment\n{cdiVersion: 0.5.0, devices: [{name: a}], kind: 'nvidia.com/gpu'}\n",
    );
    write(
      "etc/cdi/tagged.yaml",
      'devices:\n- name: a\n"kind" : !!str nvidia.com/gpu # GPUs\ncdiVersion: "0.5.0"\n',
    );
    write("var/run/cdi/old.json", JSON.stringify(spec("nvidia.com/gpu"), null, 2));
    write("var/run/cdi/line.json", JSON.stringify(spec("nvidia.com/gpu")));
    write("etc/cdi/management.yaml", stringify(spec("management.nvidia.com/gpu")));
    write(
      "etc/cdi/other.yaml",
      `# kind: nvidia.com/gpu\n${stringify({ ...spec("example.org/fpga"), annotations: { note: "x\nkind: nvidia.com/gpu\n" } })}`,
    );
    expect(run({}, CDI).status).toBe(0);
    expect(listed("etc/cdi")).toEqual(["management.yaml", "other.yaml"]);
    expect(listed("var/run/cdi")).toEqual(["nvidia.yaml"]);
    expect(listed("state/cdi")).toEqual(["flow.yaml", "line.json", "nvidia.yaml", "old.json", "tagged.yaml"]);
  });

  it("is not guessed at where nvidia-ctk cannot read the others", () => {
    node();
    write("etc/cdi/other.yaml", "kind: example.org/fpga\n");
    write("broken", "");
    expect(run({}, CDI).stderr).toContain(
      `${at("etc/cdi/other.yaml")} could not be read by nvidia-ctk cdi list`,
    );
    expect(listed("etc/cdi")).toEqual(["other.yaml"]);
  });

  it("lies where the operator told the toolkit to put it", () => {
    node();
    write(
      "etc/nvidia-container-toolkit/nvidia-cdi-refresh.env",
      `NVIDIA_CTK_CDI_OUTPUT_FILE_PATH=${at("etc/cdi/gpus.yaml")}\n`,
    );
    write(
      "hooks/start-nvidia-cdi-refresh.service",
      `mkdir -p ${at("etc/cdi")}; echo 'kind: nvidia.com/gpu' >${at("etc/cdi/gpus.yaml")}`,
    );
    expect(run({}, CDI).status).toBe(0);
    expect(listed("etc/cdi")).toEqual(["gpus.yaml"]);
  });

  it("is written by us where the toolkit's unit passes over this kernel", () => {
    node();
    write("hooks/start-nvidia-cdi-refresh.service", "exit 0");
    expect(run({}, CDI).status).toBe(0);
    expect(calls()).toContain(`nvidia-ctk cdi generate --output=${at(spec)}`);
  });

  it("is told as changed when the devices did, and only then", () => {
    node();
    run({}, CDI);
    expect(run({}, CDI).facts).toMatchObject({ changed: [] });
    write("devices", "devices: [MIG]");
    expect(run({}, CDI).facts).toMatchObject({ changed: [at(spec)] });
  });

  it("shows why it could not be written", () => {
    node();
    write("hooks/start-nvidia-cdi-refresh.service", "exit 1");
    expect(run({}, CDI).stderr).toMatch(
      /the last lines of the journal[\s\S]*CDI devices could not be written/,
    );
  });
});
