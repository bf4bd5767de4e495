import type { Report } from "../problems";
import type { StackConfig } from "../schema";

/** A name that nobody has would be a person who was meant to have Ray's token, or somebody who should have lost it. */
export function checkRayAccess({ ray, users }: StackConfig, report: Report): void {
  const names = users.map(({ name }) => name);
  for (const [i, name] of (ray.access ?? []).entries()) {
    const path = `ray.access[${i}]`;
    const twin = ray.access?.indexOf(name) ?? i;
    if (!names.includes(name))
      report(
        path,
        name,
        "is no user of this stack",
        `${names.length > 0 ? `users of it (${names.join(", ")})` : "nobody, as it has no users"}; an empty list for ` +
          "nobody, no list for everybody",
      );
    else if (twin < i) report(path, name, `stands at ray.access[${twin}] already`, "each user once");
  }
}
