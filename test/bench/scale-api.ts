/**
 * @file DigitalOcean's test API as a process of its own, for scale.bench.mjs: it makes no machines.
 *
 * Argument: how many milliseconds each kind of action takes, as JSON; others take 5.
 */
import { startApi } from "../fakes/digitalocean";

const delays = JSON.parse(process.argv[2] ?? "{}") as Record<string, number>;

startApi({ limits: { droplets: 50 }, delay: (type) => delays[type] ?? 5 }).then(
  (api) => {
    process.stdout.write(`${JSON.stringify({ url: api.url, token: api.token })}\n`);
    process.on("SIGTERM", () => {
      process.stdout.write(`${JSON.stringify({ requests: api.requests.length })}\n`);
      api.close().then(
        () => process.exit(0),
        (error) => {
          process.stderr.write(`${error}\n`);
          process.exit(1);
        },
      );
    });
  },
  (error) => {
    process.stderr.write(`${error}\n`);
    process.exit(1);
  },
);
