/**
 * @file Reads what `pulumi up --non-interactive` prints, line by line.
 */

/**
 * @typedef {object} UpEvent
 * @property {"begin" | "end" | "failed"} kind
 * @property {string} name the resource's name
 * @property {string} type its type token
 * @property {string} verb as Pulumi says it: "creating", "updated", …
 */

const DOING = "creating|updating|deleting|replacing|reading|refreshing|importing|discarding";
const DONE = "created|updated|deleted|replaced|read|refreshed|imported|discarded";
const LINE = new RegExp(
  `^\\s*(?:[-+~<>=@]{1,2}\\s+)?(\\S+:\\S+)\\s+(\\S+)\\s+(?:(\\*\\*)?(${DOING}|${DONE})(?: failed\\*\\*)?(?: original| replacement)?)(?=\\s|$)`,
);

/**
 * @param {string} line without colours
 * @returns {UpEvent | undefined} undefined: not about a resource's step
 */
export function readUpLine(line) {
  const match = LINE.exec(line);
  if (!match) return undefined;
  const [, type = "", name = "", failed, verb = ""] = match;
  const kind = failed ? "failed" : new RegExp(`^(?:${DONE})$`).test(verb) ? "end" : "begin";
  return { kind, name, type, verb };
}

/** Collects the lines of a whole `up`. */
export class UpReader {
  constructor() {
    /** @type {Map<string, string>} what is under way: resource to verb */
    this.open = new Map();
    this.done = 0;
    /** @type {string[]} */
    this.diagnostics = [];
    /** @type {string[]} */
    this.changes = [];
    /** @type {"" | "Diagnostics" | "Outputs" | "Resources"} */
    this.section = "";
  }

  /**
   * @param {string} line
   * @returns {string | undefined} what to show as going on now, when it changed
   */
  read(line) {
    const heading = /^(Diagnostics|Outputs|Resources):\s*$/.exec(line)?.[1];
    if (heading) {
      this.section = /** @type {UpReader["section"]} */ (heading);
      return undefined;
    }
    if (/^(Duration:|\S.*\(dev\):$|Updating|Previewing)/.test(line)) this.section = "";
    if (this.section === "Diagnostics") this.diagnostics.push(line);
    if (this.section === "Resources" && line.trim()) this.changes.push(line.trim());
    if (this.section) return undefined;
    const event = readUpLine(line);
    if (!event) return undefined;
    // Components stay open as long as their children: they say nothing about what takes the time.
    if (event.kind === "begin" && /^(berth|pulumi):/.test(event.type)) return undefined;
    if (event.kind === "begin") this.open.set(event.name, event.verb);
    else {
      this.open.delete(event.name);
      if (event.kind === "end" && event.type !== "pulumi:pulumi:Stack") this.done += 1;
    }
    return this.now();
  }

  /** What is under way: the newest ones, without the components. */
  now() {
    const going = [...this.open].map(([name, verb]) => `${verb} ${name}`);
    const more = going.length > 3 ? `, and ${going.length - 3} more` : "";
    return `${this.done} done; ${going.slice(-3).join(", ")}${more}`;
  }

  /** In a few words: "12 created, 30 unchanged". */
  summary() {
    const parts = this.changes
      .map((line) => /^(?:[-+~<>=@]{1,2}\s*)?(\d+ .+?)$/.exec(line)?.[1])
      .filter((part) => part && !/^\d+ changes?\b/.test(part));
    return parts.length > 0 ? parts.join(", ") : "no resources";
  }
}
