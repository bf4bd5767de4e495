/**
 * @file Builds, pushes and names the container images of `images/`. See scripts/image/cli.mjs for the options.
 */
import { main } from "./image/cli.mjs";

process.exitCode = await main(process.argv.slice(2));
