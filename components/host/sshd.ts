/** Berth's part of sshd's configuration, and what others say beside it. Python and bash, pure text. */

import { scriptsOf } from "./script";
import { heredoc } from "./shell";
import type { StageStep } from "./stage";

const script = scriptsOf(__dirname);

/**
 * What sshd does not offer, as sshd_config(5) takes lists away: new algorithms of a newer OpenSSH stay. Taken away is
 * what ssh-audit 3.3 marks: NIST's curves, finite-field Diffie-Hellman (DHEat, CVE-2002-20001), SHA-1, 64-bit tags, and
 * MACs over the plain text. What stays holds a client of OpenSSH 6.5 (2014), ssh2 and Go: curve25519 and `-etm` MACs or
 * GCM. Signatures of host keys are not limited: the configuration may know an adopted server by its ECDSA key.
 * images/workspace has the same lines for workspaces.
 */
export const SSH_ALGORITHMS = `KexAlgorithms -ecdh-sha2-*,diffie-hellman-*
MACs -hmac-sha1*,umac-64*,umac-128@openssh.com,hmac-sha2-256,hmac-sha2-512
`;

/**
 * MaxStartups and MaxSessions: the Docker provider opens many connections at once, and over a shared one many
 * sessions; sshd's own limits (10:30:100, 10) drop bursts. Forwarding stays on: the dashboard is reached by a tunnel.
 * SSHD_PROGRAM decides about root's line, and whether the algorithms' lines stay.
 */
export const SSHD = `# Berth: keys only. This file is rendered.
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitEmptyPasswords no
X11Forwarding no
MaxStartups 100:30:200
MaxSessions 64
ClientAliveInterval 30
ClientAliveCountMax 10
${SSH_ALGORITHMS}`;

export const DROP_IN = "/etc/ssh/sshd_config.d/10-berth.conf";

export const SSHD_PROGRAM = script("sshd.py");

const LIBRARY = `drop_in=${DROP_IN}\n${script("sshd-look.sh")}`;

const LOOK = `cat >"$work/sshd.py" ${heredoc(SSHD_PROGRAM)}
cat >"$work/sshd-wanted" ${heredoc(SSHD)}
${LIBRARY}`;

/** Places Berth's part of sshd's configuration. */
export const SSHD_STEP: StageStep = { name: "sshd", body: `${LOOK}\n${script("sshd-place.sh")}` };

/** What will change, in words; needs `will`, and what `SSHD_PROBLEMS` left in $work. */
export const SSHD_CHANGES = `${LIBRARY}\n${script("sshd-changes.sh")}`;

/** What stands in the way. */
export const SSHD_PROBLEMS = `${LOOK}\n${script("sshd-problems.sh")}`;
