/**
 * The program on a node that mounts what people write with nosuid and nodev. Bash, pure text.
 *
 * It finds out from the kernel's list of mounts (/proc/self/mountinfo, proc_pid_mountinfo(5)) what is mounted where, and
 * asks no file system that it need not: one whose server is away never answers, and dockerd waits for this program.
 */

import { scriptsOf } from "../script";
import { quoteAll } from "../shell";

const script = scriptsOf(__dirname);

/** The folders that were bound to themselves, one a line: gone with the binds at the next start. */
export const GUARDED = "/run/berth-guarded";
/** Mounts of others that got the options: OPTIONS DEVICE PLACE, as they were before. */
const ALTERED = "/run/berth-guarded-mounts";

/** See the file's header for what it does. */
const PROGRAM = script("guard.sh");

/**
 * The program's text.
 *
 * @param folders what people write to, absolute; links are followed, and what is missing is left out
 */
export function guardProgram(folders: readonly string[]): string {
  return `#!/bin/bash
# Berth: nothing that people write runs with another one's rights. Rendered: a change here is lost.
set -euo pipefail
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
folders=(${quoteAll(folders)}) bound=${GUARDED} altered=${ALTERED} strict=0 first='' top='' line=''
${PROGRAM}
`;
}
