/**
 * What a server was like before Berth changed it: written by the preflight, read when the node is taken out.
 * A JSON object with one text a line, so that bash alone can read it; texts of files are base64. Pure text.
 */
import { scriptsOf } from "../script";

const script = scriptsOf(__dirname);

/** Kernel settings that the base stage may set. */
const SYSCTLS = [
  "net.ipv4.ip_local_reserved_ports",
  "fs.inotify.max_user_instances",
  "fs.inotify.max_user_watches",
  "vm.max_map_count",
];

export const readerLibrary = script("before-reader.sh");

/** The kernel settings of the record: `sysctl.NAME`. */
export const recordedSysctls: readonly string[] = SYSCTLS;

export const RECORD = `sysctls=(${SYSCTLS.join(" ")})\n${script("before-record.sh")}`;
