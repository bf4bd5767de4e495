/** What berthd's answers hold: the types of its schemas alone, so that zod is not loaded at each start. */
import type { z } from "zod";
import type * as schemas from "../http/schemas";

export type HealthView = z.infer<typeof schemas.health>;
export type WhoamiView = z.infer<typeof schemas.whoami>;
export type GpusView = z.infer<typeof schemas.gpus>;
export type GpuView = GpusView["gpus"][number];
export type HolderView = GpuView["holders"][number];
export type GrantView = z.infer<typeof schemas.grant>;
export type GrantsView = z.infer<typeof schemas.grants>;
export type QueueView = z.infer<typeof schemas.queue>;
export type QueueEntryView = QueueView["queue"][number];
export type LimitsView = z.infer<typeof schemas.explainedLimits>;
export type LimitsListView = z.infer<typeof schemas.limitsList>;
export type CheckView = z.infer<typeof schemas.checked>;
export type TokensView = z.infer<typeof schemas.tokens>;
export type TokenView = TokensView["tokens"][number];
export type TokenMade = z.infer<typeof schemas.tokenMade>;
export type AskView = z.infer<typeof schemas.shownAsk>;
