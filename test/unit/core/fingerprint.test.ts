/** Proves: which requests are the same one, and that what an older berthd wrote down beside keys is still found so. */
import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { fingerprintOf } from "../../../core/fingerprint";

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

it("does not depend on the order of keys, at any depth", () => {
  const one = { repo: "a/b", envVars: { B: "2", A: "1" }, gpus: { pins: ["x", "y"], count: 2 } };
  const other = { gpus: { count: 2, pins: ["x", "y"] }, envVars: { A: "1", B: "2" }, repo: "a/b" };
  expect(fingerprintOf(one)).toBe(fingerprintOf(other));
});

it.each([
  [{ ports: [1, 2] }, { ports: [2, 1] }],
  [{ a: "1" }, { a: 1 }],
  [{ a: { b: 1 } }, { a: { b: 1, c: 2 } }],
  [
    ["create", {}],
    ["claim", {}],
  ],
])("tells %j from %j", (one, other) => {
  expect(fingerprintOf(one)).not.toBe(fingerprintOf(other));
});

it.each([
  [
    "a grant",
    ["alice", { kind: "mig", count: 1, pins: ["GPU-1"] }, undefined, undefined],
    '["alice",[["count",1],["kind","mig"],["pins",["GPU-1"]]],null,null]',
  ],
  [
    "a container of a tenant",
    ["create", { name: "a", env: { B: "2", A: "1" } }],
    '["create",[["env",[["A","1"],["B","2"]]],["name","a"]]]',
  ],
  [
    "a set-up",
    { workdir: "/app", repo: "a/b", envVars: {} },
    '[["envVars",[]],["repo","a/b"],["workdir","/app"]]',
  ],
])("is what it was of %s", (_, request, text) => {
  expect(fingerprintOf(request)).toBe(sha256(text));
});
