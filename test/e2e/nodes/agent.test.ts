/**
 * berthd on a real node: a container with systemd, reached by SSH like any machine.
 *
 * Proves: the stage installs and starts it under its hardened unit, and changes nothing the second time; people and
 * limits are taken over while it runs; it comes back after a kill, when it hangs, and with the node; a container keeps
 * its way to it over all of that; an upgrade leaves containers and grants alone, and a version that does not start is
 * taken back; the declared GPUs are there for nvidia-smi and for containers; a server that leaves is clean.
 *
 * Proves of kills, with a real dockerd: killed at each point between reserve, create, bind and start, and between stop,
 * remove and release, and at random moments under load, the next berthd brings ledger and Docker to say the same, and
 * gives no GPU twice; the device list in a container is exactly its grant, whatever its image or it asks for; what
 * fails half-way leaves nothing; a GPU that somebody takes with docker is not granted; a dockerd that hangs closes the
 * ledger and stops no reader; a reload of systemd takes no device from a running container.
 *
 * Does not prove: NVIDIA's own driver, toolkit and CDI devices, loss of power, cgroup v2 on a host that has version 1.
 *
 * Needs a Docker engine and OpenSSH's client. Makes and removes only things named berth-agenttest-….
 */
import { afterAll, beforeAll, describe } from "vitest";
import { agentCases, leaving } from "./agent-cases";
import { killCases } from "./agent-kill-cases";
import { cleanUp, removeFiles, standardNode } from "./agent-rig";

const options = { timeout: 900_000 };

beforeAll(standardNode, 2_400_000);

afterAll(async () => {
  await cleanUp();
  await removeFiles();
}, 120_000);

describe("berthd on a local node", options, agentCases);
describe("berthd and dockerd on a local node", options, killCases);
describe("a server that goes", options, leaving);
