/**
 * Lines of others in /etc/fstab, as the preflight and the storage stage read them.
 * Proves: a place is the same however it is written, and Berth's own lines and other places are no clash.
 */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { fstabLibrary } from "../../components/host/storage";
import { lookMachine, preflightBody } from "./host-look-helpers";

const { at, look, seen } = lookMachine();

/** Which of the places have a line of somebody else's. */
function taken(fstab: string, ...places: string[]): string[] {
  mkdirSync(at("data/set a"), { recursive: true });
  symlinkSync(at("data"), at("link"));
  writeFileSync(at("fstab"), fstab.replaceAll("@", at("")));
  const words = places.map((place) => `'${at(place)}'`).join(" ");
  const body = `${fstabLibrary.replaceAll("/etc/fstab", at("fstab"))}
theirs | places >"$work/places"
: >"$work/taken"
for place in ${words}; do
  if in_fstab "$place" "$work/places"; then printf '%s\\n' "$place" >>"$work/taken"; fi
done`;
  expect(look(body).stderr).toBe("");
  return seen("taken")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.slice(at("").length + 1));
}

describe("a line of fstab", () => {
  it.each([
    ["UUID=cccc @/data/ xfs defaults 0 0", "data"],
    ["UUID=cccc\t@//data\txfs defaults 0 0", "data"],
    ["  UUID=cccc @/./data xfs", "data"],
    ["UUID=cccc @/link xfs", "data"],
    ["UUID=cccc @/data xfs", "link"],
    ["UUID=cccc @/data/set\\040a xfs", "data/set a"],
    ["UUID=cccc @/link/set\\040a/../not//there xfs", "data/not/there"],
  ])("%j is for %s", (line, place) => {
    expect(taken(`${line}\n`, place)).toEqual([place]);
  });

  it("is none where it is a comment, swap, another place, or Berth's own", () => {
    const fstab = [
      "# UUID=cccc @/data xfs",
      "UUID=s none swap sw 0 0",
      "UUID=d @/data2 xfs",
      "UUID=e @/data/deeper xfs",
      "# Berth storage: begin. Rendered: a change here is lost.",
      "UUID=f @/data xfs",
      "# Berth storage: end",
    ];
    expect(taken(`${fstab.join("\n")}\n`, "data", "data/set a")).toEqual([]);
  });

  it("is looked for by the preflight, for each place that something is mounted at", () => {
    const body = preflightBody({
      storage: {
        devices: [{ match: { serial: "S4EVNX0R" }, mount: "/data" }],
        nfs: { mounts: [{ from: "nas:/x", mount: "/nas" }] },
        bind: { homes: "/big/homes" },
      },
    });
    expect(body).toContain("mount_points=(/data /nas /mnt/storage/homes)");
    expect(body).toContain("problem \"/etc/fstab has a line for $place that is not Berth's");
  });
});
