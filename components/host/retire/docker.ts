/**
 * dockerd as it was before Berth, under containers that run on. Pure text.
 *
 * A dockerd that stops leaves containers alive only if it knows live-restore, and one that starts ends those it finds
 * alive unless it knows it too. So the restart happens with live-restore on, and then a reload switches it off: by an
 * explicit \`false\`, since a reload does not take back a key that is gone from the file.
 * What the file is to be at the end is decided once and kept, for a run that is cut in between.
 */

import { MERGE } from "../runtime/daemon";
import { LOGIN_RECORD, WHOLE } from "../runtime/engine";
import { LOAD_JSON, READ_UNIT } from "../runtime/told";
import { scriptsOf } from "../script";
import { heredoc } from "../shell";
import { DROP_IN } from "../storage/guard";

const script = scriptsOf(__dirname);

export const RESTORE = `${LOAD_JSON}\n${script("restore.py")}`;

export const WITH = `${LOAD_JSON}\n${script("with.py")}`;

export const DOCKER = `
login_record=${LOGIN_RECORD} storage_drop_in=${DROP_IN}
cat >"$work/merge.py" ${heredoc(MERGE)}
cat >"$work/restore.py" ${heredoc(RESTORE)}
cat >"$work/with.py" ${heredoc(WITH)}
${WHOLE}
${READ_UNIT}
${script("leave-docker.sh")}
`;
