/** @file berthd on a machine without a registry: its program by disk, all else by the agent stage. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { type AgentDocuments, agentInput, readAgentFacts, renderAgent } from "../../../components/agent";
import { AGENT } from "../../../components/agent/options";
import { must } from "../../lib/run";
import { diskPath, type Server } from "./server";

/** No registry has it: the stage finds the program of that digest where it would put it. */
const DIGEST = "0".repeat(64);
const IMAGE = `10.98.0.1:5000/berth/agent@sha256:${DIGEST}`;
const VERSION = DIGEST.slice(0, 12);

/** Puts the program, as it is built from this repository, on the machine. */
export async function bringProgram(server: Server): Promise<void> {
  const { agentFilesFor } = await import("../../../scripts/image/agent.mjs");
  const { imageDir } = await import("../../../scripts/image/catalog.cjs");
  const folder = server.file("berthd");
  const write = (path: string, content: Buffer, mode: number) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content, { mode });
  };
  for (const { path, content, mode } of await agentFilesFor("x64", () => {})) {
    const name = path.replace(/^root\//, "");
    if (name === "node.gz") write("node", gunzipSync(content), 0o755);
    else write(name, content, mode);
  }
  for (const name of ["bin/berth", "bin/berthd"])
    write(name, readFileSync(join(imageDir("agent"), "root", name)), 0o755);
  write(".whole", Buffer.alloc(0), 0o644);
  const tar = server.file("berthd.tar");
  await must("tar", ["-C", folder, "--owner=0", "--group=0", "-cf", tar, "."]);
  await server.attach("BERTHD", tar);
  const to = `${AGENT.programs}/${VERSION}`;
  await server.onNode(`mkdir -p ${to} && tar -C ${to} -xf ${diskPath("BERTHD")} && sync`);
}

/** Runs the agent stage. */
export async function installBerthd(server: Server, documents: AgentDocuments) {
  const users = documents.node.users.map(({ name }) => name);
  const text = renderAgent({ node: documents.node.node, image: IMAGE, users });
  const { code, stdout, stderr } = await server.ssh(text, { input: agentInput(documents) });
  if (code !== 0 || stderr !== "") throw new Error(`the agent stage ended with ${code}: ${stderr}`);
  return readAgentFacts(stdout);
}
