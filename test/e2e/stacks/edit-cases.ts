/**
 * @file Edits of the stack file, each of which touches only what it should: cases of the cluster's test.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ask } from "../../lib/http";
import { MINUTE } from "../../lib/time";
import { connects } from "../../lib/tunnel";
import { until } from "../../lib/until";
import {
  codeServer,
  credentials,
  forwarded,
  notebook,
  onNode,
  portOf,
  SERVICES,
  ssh,
  WHERE,
} from "./cluster-clients";
import {
  berth,
  changes,
  declared,
  edit,
  folder,
  HEAD,
  nothingToDo,
  STACK,
  student,
  up,
  WORKER,
} from "./cluster-rig";
import { refusalCases } from "./gpu-cases";
import { DEVICES, devicesOf, inside, pool, sorted, started, unitsOf } from "./gpu-clients";
import { PIDS } from "./hostile-limits";
import { neighbourCases } from "./neighbour-cases";

const byName = (a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name);

/** They go on from a stack of alice on node-0 and bob on node-1, and end with carol beside bob. */
export function additionCases(): void {
  it("adds carol in front of the list with what is free, and touches nothing else", {
    timeout: 15 * MINUTE,
  }, async () => {
    const [bobs, was] = [await unitsOf("node-1", "bob"), await started("node-1", "bob")];
    const alices = await started("node-0", "alice");
    edit((config) => config["berth:users"].unshift({ ...student("carol", "node-1", 2), pids: PIDS }));
    const steps = await changes();
    expect(steps.length).toBeGreaterThan(2);
    // Her node's daemon is told of her, without a restart, and its pool of one grant more.
    expect(
      steps.filter(({ op, name }) => op !== "create" || !/workspace-carol(-|$)/.test(name)).sort(byName),
    ).toEqual([
      { op: "update", name: "berth-node-1-agent-stage" },
      { op: "update", name: "berth-node-1-gpus" },
    ]);
    await up();
    expect(await ssh("carol", "id -un")).toBe("carol");
    expect(await ssh("alice", "cat ~/hers.txt")).toBe("hers");
    expect(await unitsOf("node-1", "bob")).toEqual(bobs);
    expect(await started("node-1", "bob")).toBe(was);
    expect(await started("node-0", "alice")).toBe(alices);
    const carols = await unitsOf("node-1", "carol");
    expect(carols.map(({ uuid }) => uuid)).not.toEqual(bobs.map(({ uuid }) => uuid));
    expect(sorted(await inside("node-1", "carol", DEVICES))).toEqual(await devicesOf("node-1", carols));
    await nothingToDo();
  });

  it("keeps two people of one node apart", async () => {
    await ssh("bob", "echo his > ~/his.txt && chmod 644 ~/his.txt");
    expect(await ssh("carol", "sudo -n cat /home/bob/his.txt 2>&1 || true")).toMatch(/No such file/);
    const container = `berth-${STACK}-workspace-bob`;
    const inside = await onNode(
      "node-1",
      `docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' ${container}`,
    );
    const knock = `curl -s -m 5 -o /dev/null -w '%{http_code}' http://${inside}:8888/api/status || true`;
    expect(await ssh("carol", knock)).toBe("000");
    const loop = "curl -s -m 5 -o /dev/null -w '%{http_code}' http://127.0.0.1:8888/api/status || true";
    expect(await ssh("bob", loop)).toBe("403");
  });

  neighbourCases();
  refusalCases();
}

/** The private key that Berth made for a user of the stack, on this computer. */
const keyFile = (user: string) => join(folder, `user-${user}`);

/** They go on from there, and end with alice and carol, and a second GPU on node-1 that nobody has. */
export function removalCases(): void {
  it("removes bob, keeps his home, hands his GPU on in the same update, and opens a port on each node", {
    timeout: 15 * MINUTE,
  }, async () => {
    const bobs = await unitsOf("node-1", "bob");
    edit((config) => {
      config["berth:users"] = config["berth:users"].filter(({ name }: { name: string }) => name !== "bob");
    });
    const gone = await changes();
    expect(gone.length).toBeGreaterThan(2);
    const told = { op: "update", name: "berth-node-1-agent-stage" };
    const freed = { op: "update", name: "berth-node-1-gpus" };
    expect(
      gone.filter(({ op, name }) => op !== "delete" || !/workspace-bob(-|$)/.test(name)).sort(byName),
    ).toEqual([told, freed]);

    edit((config) => {
      config["berth:firewall"] = { rules: [{ port: 9100, from: ["10.91.0.0/24"] }] };
    });
    const firewall = (await changes()).filter(({ name }) => !/workspace-bob(-|$)/.test(name)).sort(byName);
    expect(firewall).toEqual([
      { op: "update", name: "berth-node-0-host-firewall" },
      told,
      freed,
      { op: "update", name: "berth-node-1-host-firewall" },
    ]);

    edit((config) => config["berth:users"].unshift(student("dave", "node-1", 3)));
    const preview = await berth("preview", ["--diff"], 5 * MINUTE);
    expect(preview.code, preview.text.slice(-3000)).toBe(0);
    expect(preview.text).toContain(bobs[0]?.uuid);
    expect(preview.text).toMatch(/goes to workspace\/dave; the update stops the container of workspace\/bob/);
    const before = [await started("node-0", "alice"), await started("node-1", "carol")];
    expect(existsSync(keyFile("bob"))).toBe(true);
    await up(["--skip-preview"]);
    expect(["bob", "carol", "dave"].filter((user) => existsSync(keyFile(user)))).toEqual(["carol", "dave"]);
    expect([await started("node-0", "alice"), await started("node-1", "carol")]).toEqual(before);
    expect(await onNode("node-1", "cat /mnt/storage/homes/bob/his.txt")).toBe("his");
    expect(
      await onNode(
        "node-1",
        "docker ps -aq --filter label=berth.owner=bob; ls /var/lib/berth/workspaces | sort",
      ),
    ).toBe("carol\ndave");
    for (const node of ["node-0", "node-1"] as const)
      expect(await onNode(node, "ufw status")).toMatch(/^9100\/tcp\s+ALLOW/m);
    expect(Object.keys(await credentials()).sort()).toEqual(["alice", "carol", "dave"]);
    expect(await unitsOf("node-1", "dave")).toEqual(bobs);
    expect(sorted(await inside("node-1", "dave", DEVICES))).toEqual(await devicesOf("node-1", bobs));
    const keys = async () => (await pool("node-1")).grants.map(({ key }) => key).sort();
    await until("bob's grant is over", MINUTE, async () => (await keys()).length === 2);
    expect(await keys()).toEqual(["workspace/carol", "workspace/dave"]);
    await nothingToDo();
  });

  it("publishes the services, which replaces alice's container, keeps her home and her GPU, and forgets dave, who is purged", {
    timeout: 15 * MINUTE,
  }, async () => {
    const id = () => onNode("node-0", `docker inspect -f '{{.Id}}' berth-${STACK}-workspace-alice`);
    const before = await id();
    await ssh("alice", "echo kept > ~/notebooks/note && echo here > /workspace/note");
    const alices = await unitsOf("node-0", "alice");
    edit((config) => {
      const dave = config["berth:users"].find(({ name }: { name: string }) => name === "dave");
      Object.assign(dave, { state: "removed", purge: true });
      config["berth:nodes"][1].gpus = [...declared, ...declared];
      config["berth:workspaces"] = { services: "published-insecure" };
    });
    const steps = await changes();
    for (const name of ["berth-workspace-alice", "berth-workspace-carol"])
      expect(steps).toContainEqual({ op: "replace", name });
    const { text } = await up(["--skip-preview"]);
    expect(text).toContain('berth:workspaces.services is "published-insecure"');
    expect(await id()).not.toBe(before);
    expect(await ssh("alice", "cat ~/notebooks/note /workspace/note")).toBe("kept\nhere");
    expect(await ssh("alice", "git config user.name")).toBe("Alice Example");
    const at = (Host: string, path: string) =>
      ask({ host: HEAD, port: portOf("alice", "jupyter"), path, headers: { Host } });
    const own = `${HEAD}:${portOf("alice", "jupyter")}`;
    expect([(await at(own, "/api/status")).status, (await at(own, "/lab")).status]).toEqual([403, 302]);
    for (const name of [own, "alice.localhost"]) expect((await at(name, "/api")).status, name).toBe(200);
    for (const name of ["evil.example", "bob.localhost", WORKER])
      expect((await at(name, "/api")).status, name).toBe(403);
    expect(await unitsOf("node-0", "alice")).toEqual(alices);
    expect(sorted(await inside("node-0", "alice", DEVICES))).toEqual(await devicesOf("node-0", alices));
    await until("dave's slice is free", MINUTE, async () => {
      const { grants } = await pool("node-1");
      return grants.length === 1 && grants[0]?.key === "workspace/carol";
    });
    expect(existsSync(keyFile("dave"))).toBe(false);
    const his = ["homes", "workspaces", "shared/tensorboard"].map((place) => `/mnt/storage/${place}/dave`);
    expect(
      await onNode("node-1", `ls -d ${his.join(" ")} /var/lib/berth/workspaces/dave 2>/dev/null || true`),
    ).toBe("");
    expect(await onNode("node-1", "cat /mnt/storage/homes/bob/his.txt")).toBe("his");
    await nothingToDo();
  });

  it("takes the services off the node's address again, and Ray's token from carol, and keeps the homes", {
    timeout: 15 * MINUTE,
  }, async () => {
    const token = () => ssh("alice", "cat ~/.ray/auth_token");
    const old = await token();
    expect(await ssh("carol", "cat ~/.ray/auth_token")).toBe(old);
    edit((config) => {
      delete config["berth:workspaces"];
      config["berth:ray"] = { access: ["alice"] };
    });
    const touched = (await changes()).map(({ name }) => name);
    expect(touched.length).toBeGreaterThan(2);
    for (const name of touched) expect(name).toMatch(/^berth-(workspace-(alice|carol)|ray|node-\d-ray)(-|$)/);
    await up(["--skip-preview"]);
    for (const service of SERVICES)
      expect(await connects(HEAD, portOf("alice", service)), service).toBe(false);
    expect(await ssh("alice", "cat ~/notebooks/note /workspace/note")).toBe("kept\nhere");
    const { codePassword = "", jupyterToken = "" } = (await credentials()).alice ?? {};
    expect(await forwarded("alice", () => codeServer("alice", codePassword))).toBe(200);

    // Carol could have kept hers, so alice has another one, and so has Ray.
    expect(await token()).not.toBe(old);
    const jobs = async (value: string) =>
      await ssh(
        "carol",
        `curl -s -m 10 -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer ${value}' http://${HEAD}:8265/api/jobs/ || true`,
      );
    const own = await token();
    await until("Ray takes the new token", 2 * MINUTE, async () => (await jobs(own)) === "200");
    expect(await jobs(old)).toMatch(/^40[13]$/);
    const left = "ls ~/.ray/auth_token 2>/dev/null; env | grep -E '^(BERTH_)?RAY_(A|G|D)' || echo none";
    expect(await ssh("carol", `bash -lc "${left}"`)).toBe("none");
    const cells = [WHERE, `on("${WORKER}")`];
    await until("both nodes of Ray", 3 * MINUTE, async () =>
      (await ssh("alice", "ray status 2>&1 || true", 2 * MINUTE)).includes("node_node-1"),
    );
    expect(await forwarded("alice", () => notebook("alice", jupyterToken, cells))).toEqual([
      "",
      `'${WORKER}'`,
    ]);
    await nothingToDo();
  });
}
