/** The `berth` command. */
import { processIo } from "./io";
import { runCli } from "./run";

const io = processIo();
// A reader that went away, as in `berth gpu history | head`, is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});
void runCli(process.argv.slice(2), io).then((code) => {
  process.exitCode = code;
});
