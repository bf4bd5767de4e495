/** The steps of the agent stage: what stands beside each script, and the order of the scripts in it. Pure text. */
import { scriptsOf } from "../host/script";
import { heredoc, quoteAll } from "../host/shell";
import { AGENT, LINKS } from "./options";
import { renderFolders, renderUnit } from "./unit";

const script = scriptsOf(__dirname);

const { berth, programs, config, lock, socket, sockets, state, unit, folders } = AGENT;

/** What the scripts know of where things are; `parcel` carries the files from the image and never runs. */
const PATHS = `berth=${berth} programs=${programs} config=${config} grants_lock=${lock} socket=${socket} sockets=${sockets}
ledger=${state} unit=${unit} folders=${folders} parcel=berth-agent-parcel`;

/** The way back: files, ledger and version of the berthd that ran before this run. */
const BEFORE = `before=$state/agent-before
managed=("$config/node.json" "$config/limits.json" "$config/gpus.json" "$unit")`;

const step = (...parts: readonly string[]): string => [PATHS, ...parts].join("\n");

export const GRANTED = script("granted.sh");

export const PROGRAM = step(script("program.sh"));

export const SAVE = step(BEFORE, GRANTED, script("save.sh"));

/** Checked by the new program before anything is placed. */
export const filesStep = (users: readonly string[]): string =>
  step(
    script("documents.sh"),
    script("stand-ins.sh"),
    `links=(${quoteAll(Object.entries(LINKS).flatMap(([path, target]) => [target, path]))})`,
    `cat >"$work/folders" ${heredoc(renderFolders(users))}`,
    `cat >"$work/unit" ${heredoc(renderUnit())}`,
    script("fresh.sh"),
    script("holders.sh"),
    script("files.sh"),
  );

export const START = step(BEFORE, GRANTED, script("stand-ins.sh"), script("start.sh"));

export const SOCKETS = step(script("sockets.sh"));

export const SWEEP = step(BEFORE, script("sweep.sh"));

export const REPORT = step(script("report.sh"));
