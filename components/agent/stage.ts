/** The agent stage: brings berthd onto a node, keeps it as configured, and takes a version back that does not start. Pure. */
import { checkLinuxName, quote, StageOptionError } from "../host/shell";
import { number, parseFacts, renderStage, text } from "../host/stage";
import type { AgentDocuments, AgentOptions } from "./options";
import { filesStep, PROGRAM, REPORT, SAVE, SOCKETS, START, SWEEP } from "./steps";

export interface AgentFacts {
  /** Twelve characters of the image's digest. */
  version: string;
  /** False: it runs, and grants nothing new; `problem` says why. */
  ready: boolean;
  problem: string;
  /** GPUs that it sees. */
  gpus: number;
}

/**
 * One idempotent script. Its documents come on standard input, see `agentInput`, so that a preview shows what changes
 * in them.
 *
 *  - Another image: the new version is put beside the old one, berthd is stopped, its ledger copied, and the new one
 *    started. Containers are not touched. Where the new one does not come up, the old one with its files and ledger
 *    runs again, and the stage fails with the journal's last lines.
 *  - Another inventory, unit or setting of the node: a restart, with the same way back.
 *  - Other people or limits alone: berthd reads them by itself, and nothing is interrupted.
 *
 * Facts: see `AgentFacts`.
 * @throws StageOptionError for a value that cannot be.
 */
export function renderAgent(options: AgentOptions & { node: string }): string {
  const image = options.image;
  const digest = /^[A-Za-z0-9.:[\]-]+\/berth\/agent@sha256:([0-9a-f]{64})$/.exec(image)?.[1];
  if (digest === undefined) {
    throw new StageOptionError("agent.image", image, "HOST:PORT/berth/agent@sha256:DIGEST");
  }
  const version = digest.slice(0, 12);
  const users = options.users.map((name) => checkLinuxName(name, "agent.users"));
  return renderStage({
    name: "agent",
    node: options.node,
    needsSecrets: true,
    steps: [
      {
        name: "bring the program",
        body: `image=${quote(image)} version=${version}\n${PROGRAM}`,
        deadlineSeconds: 900,
      },
      { name: "keep what runs", body: SAVE, deadlineSeconds: 60 },
      { name: "files", body: `version=${version}\n${filesStep(users)}` },
      { name: "start", body: `version=${version}\n${START}`, deadlineSeconds: 300 },
      { name: "people's sockets", body: `users=(${users.join(" ")})\n${SOCKETS}`, deadlineSeconds: 60 },
      { name: "sweep", body: `version=${version} users=(${users.join(" ")})\n${SWEEP}` },
      { name: "what it says", body: REPORT, deadlineSeconds: 60 },
    ],
  });
}

/** The stage's standard input. */
export function agentInput({ node, limits, gpus }: AgentDocuments): string {
  return JSON.stringify({ node, limits, ...(gpus ? { gpus } : {}) });
}

/** The facts of stage `agent`. @throws Error as `parseFacts` does. */
export function readAgentFacts(stdout: string): AgentFacts {
  const facts = parseFacts(stdout);
  return {
    version: text(facts.version),
    ready: facts.ready === true,
    problem: text(facts.problem),
    gpus: number(facts.gpus),
  };
}
