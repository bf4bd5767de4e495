import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { isManagedCreation } from "../../../core/names";
import { readIfThere, replaceFile } from "../files";

const stateSchema = z.object({
  /** How packages come to stand below it, as it was when the container was made: it keeps the mount that it got then. */
  way: z.enum(["overlay", "copy"]),
  attached: z
    .object({
      name: z.string(),
      /** Left out: an empty folder stands below. */
      cache: z.string().optional(),
      generation: z.number().optional(),
    })
    .optional(),
});
export type FolderState = z.infer<typeof stateSchema>;

/** The folders of the containers, by their ids: `ID/node_modules` is what a container sees. Nobody but root comes to them. */
export class ContainerFolders {
  private readonly folder: string;

  constructor(top: string) {
    this.folder = join(top, "containers");
  }

  ids(): string[] {
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    return readdirSync(this.folder).filter(isManagedCreation);
  }

  of(id: string) {
    // It becomes a part of paths.
    if (!isManagedCreation(id)) throw new Error(`${JSON.stringify(id)} is no container's id`);
    const folder = join(this.folder, id);
    const at = (name: string) => join(folder, name);
    return { folder, target: at("node_modules"), upper: at("upper"), work: at("work"), aside: at("aside") };
  }

  /** Undefined: it has no folder. */
  state(id: string): FolderState | undefined {
    const text = readIfThere(this.stateFile(id));
    return text === undefined ? undefined : stateSchema.parse(JSON.parse(text));
  }

  note(id: string, state: FolderState): void {
    replaceFile(this.stateFile(id), JSON.stringify(state), 0o600);
  }

  private stateFile(id: string): string {
    return join(this.of(id).folder, "state.json");
  }
}
