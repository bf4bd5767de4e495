/**
 * The DigitalOcean API over plain HTTP: calls, retries, errors, waiting.
 *
 * Not through the official client, `@digitalocean/dots` 1.19.0: it leaves properties that its model does not know out of
 * requests without a word, and writes a droplet's properties twice into one JSON object. It also ships its TypeScript
 * sources instead of declarations, which do not pass our compiler's settings, and takes no signal for a cancel. The tests
 * do hold every request against the description that it carries.
 */
export { Api, type Clock, realClock } from "./client";
export { ApiError } from "./errors";
export { configSchema, type Settings, settingsOf } from "./settings";
export { ACTION_MS, type Action, actionDone, type Deadline, isPending, pollMs, until } from "./wait";
export { type Kind, Watch } from "./watch";
