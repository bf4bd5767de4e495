/**
 * @file Builds, pushes and names the container images of `images/`. See scripts/image/cli.mjs for the options.
 */
import { main } from "./image/cli.mjs";
import { runMain } from "./lib/main.mjs";

await runMain(() => main(process.argv.slice(2)));
