/**
 * The DigitalOcean API over plain HTTP: calls, retries, errors, waiting.
 *
 * Not through the official client, `@digitalocean/dots` 1.19.0, for what it does to the data: it leaves properties
 * that its model does not know out of requests without a word (a droplet's `gpuPartitionMode`), writes a droplet's
 * properties twice into one JSON object, and turns times into `Date`s, so that `createdAt` comes out in another
 * spelling than in states of the official plugin. It also ships its TypeScript sources instead of declarations, which
 * do not pass our compiler's settings, and takes no signal for a cancel. The tests do hold every request against the
 * description that it carries.
 */
export { Api, type Clock, realClock } from "./client";
export { ApiError } from "./errors";
export { configSchema, type Settings, settingsOf } from "./settings";
export { ACTION_MS, type Action, actionDone, type Deadline, isPending, pollMs, until } from "./wait";
export { type Kind, Watch } from "./watch";
