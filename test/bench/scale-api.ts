/** @file DigitalOcean's test API as a process of its own, for scale.bench.mjs: it makes no machines. */
import { startApi } from "../digitalocean";

/** Milliseconds that DigitalOcean takes, as people see it: a droplet most of a minute, an attachment seconds. */
const DELAYS: Readonly<Record<string, number>> = { create: 40_000, attach_volume: 5_000 };

startApi({ limits: { droplets: 50 }, delay: (type: string) => DELAYS[type] ?? 200 }).then(
  (api) => {
    process.stdout.write(`${JSON.stringify({ url: api.url, token: api.token })}\n`);
    process.on("SIGTERM", () => {
      const { droplets, volumes } = api.state;
      process.stdout.write(
        `${JSON.stringify({ requests: api.requests.length, droplets: droplets.size, volumes: volumes.size })}\n`,
      );
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
