/** What berthd's answers hold: the types of its schemas alone, so that zod is not loaded at each start. */
import type { z } from "zod";
import type { container, containers, created } from "../http/areas/containers";
import type { gpus } from "../http/areas/gpus";
import type { grants, queue } from "../http/areas/grants";
import type { checked, explainedLimits, limitsList } from "../http/areas/limits";
import type { health, whoami } from "../http/areas/node";
import type { tokenMade, tokens } from "../http/areas/tokens";
import type { grant, shownAsk } from "../http/schemas";

export type HealthView = z.infer<typeof health>;
export type WhoamiView = z.infer<typeof whoami>;
export type GpusView = z.infer<typeof gpus>;
export type GpuView = GpusView["gpus"][number];
export type HolderView = GpuView["holders"][number];
export type GrantView = z.infer<typeof grant>;
export type GrantsView = z.infer<typeof grants>;
export type QueueView = z.infer<typeof queue>;
export type QueueEntryView = QueueView["queue"][number];
export type LimitsView = z.infer<typeof explainedLimits>;
export type LimitsListView = z.infer<typeof limitsList>;
export type CheckView = z.infer<typeof checked>;
export type TokensView = z.infer<typeof tokens>;
export type TokenView = TokensView["tokens"][number];
export type TokenMade = z.infer<typeof tokenMade>;
export type AskView = z.infer<typeof shownAsk>;
export type ContainerView = z.infer<typeof container>;
export type ContainersView = z.infer<typeof containers>;
export type ContainerMade = z.infer<typeof created>;
