/** What the program reads of the stages' facts, as typed data: nothing else of a node's output is ever shown. Pure. */
import { belowFloors } from "./runtime";
import { parseFacts, text, texts } from "./stage";

export interface NodeFacts {
  /** SHA-256 of the user data that the machine was made with; empty where it was not made by Berth's. */
  userData: string;
}

export interface RuntimeFacts {
  /** What is below its floor, and taken since configuration allows it: to be shown. */
  belowFloor: string[];
  /** Why the machine has to be started anew before its GPUs are as configured; empty when it need not. */
  rebootRequired: string;
}

/** The facts of stage `ready`. @throws Error as `parseFacts` does. */
export const readNodeFacts = (stdout: string): NodeFacts => ({ userData: text(parseFacts(stdout).userData) });

/** The facts of stage `runtime`. @throws Error as `parseFacts` does. */
export function readRuntimeFacts(stdout: string): RuntimeFacts {
  const { dockerFrom, runc, containerd, docker, runcMended, rebootRequired } = parseFacts(stdout);
  return {
    belowFloor: belowFloors({
      distribution: dockerFrom === "distribution",
      ...{ runc: text(runc), containerd: text(containerd), docker: text(docker), mended: texts(runcMended) },
    }),
    rebootRequired: text(rebootRequired),
  };
}
