/**
 * What berthd has the container's own `/bin/sh` do. They need what every image with a package manager has: `cat`, `grep`, `id`,
 * `mkdir`, `rm`, `sleep`, `date`, `chown`.
 *
 * The start command runs below a supervisor, in a session of its own where the image has `setsid`. A file in the supervisor's folder
 * says which process it is, by its number and the moment at which it began: after a restart of the container another one may have
 * the number.
 */

/** Exit codes of these scripts that mean something. */
export const ENDS = {
  /** The folder is not the account's own. */
  notOwn: 3,
  /** The start command ended; how is printed. */
  ended: 10,
  /** It runs, and listens on none of the ports. */
  silent: 11,
} as const;

/**
 * `$1`: the folder. Prints uid and gid of the container's account, and takes out what an earlier set-up left there but what package
 * managers installed.
 */
export const CLEAR = `
id -u && id -g || exit 1
{ mkdir -p "$1" && [ -w "$1" ]; } 2>/dev/null || exit ${ENDS.notOwn}
for one in "$1"/* "$1"/.[!.]* "$1"/..?*; do
  case "\${one##*/}" in node_modules | .venv) continue ;; esac
  rm -rf "$one" || exit 1
done
`;

/** As root. `$1`: the folder, `$2`: `uid:gid`. */
export const MAKE = `
umask 022
mkdir -p "$1" && chown "$2" "$1"
`;

const BEGUN = `
begun_of() {
  set -- $(cat "/proc/$1/stat" 2>/dev/null)
  # One that has ended, and that nobody has asked for its end, has no part in anything.
  [ "$3" = Z ] || echo "\${22}"
}
note() { echo "$2 $(begun_of "$2")" >"$state/$1"; }
lives() {
  pid= begun=
  read -r pid begun 2>/dev/null <"$state/$1"
  [ -n "$begun" ] && [ "$(begun_of "$pid")" = "$begun" ]
}
`;

/** `$1`: its folder. Runs `$BERTH_START` again and again. */
export const SUPERVISE = `
state=$1 pause=1 command=$BERTH_START
unset BERTH_START
while :; do
  at=$(date +%s)
  /bin/sh -c "$command" </dev/null
  code=$?
  echo "$code" >"$state/ended"
  [ $(($(date +%s) - at)) -lt 60 ] || pause=1
  echo "[berth] the start command ended with exit code $code; it is started again in $pause s"
  sleep "$pause"
  pause=$((pause * 2))
  [ "$pause" -le 60 ] || pause=60
done
`;

/** `$1`: the supervisor's folder, `$2`: where all of its output goes, `$3`: the supervisor. Nothing where it runs already. */
export const LAUNCH = `${BEGUN}
state=$1
mkdir -p "$state" || exit 1
lives pid && exit 0
rm -f "$state/ended"
own=$(command -v setsid)
$own /bin/sh -c "$3" berth-start "$state" </dev/null >"$2" 2>&1 &
note pid $!
`;

/** `$1`: the supervisor's folder, `$2`: the line. Dockerd begins each command in a session of its own. */
export const INSTALL = `${BEGUN}
state=$1
mkdir -p "$state" || exit 1
note install $$
exec /bin/sh -c "$2"
`;

/**
 * `$1`: the supervisor's folder. Ends it, and what it runs; and an installation, which goes on where the berthd that waited for it was
 * killed.
 */
export const STOP = `${BEGUN}
state=$1
send() { kill "-$1" "-$pid" 2>/dev/null || kill "-$1" "$pid" 2>/dev/null; }
for one in pid install; do
  lives "$one" || continue
  send TERM
  for n in 1 2 3; do
    kill -0 "-$pid" 2>/dev/null || break
    sleep 1
  done
  send KILL
  rm -f "$state/$one"
done
exit 0
`;

/** `$1`: the supervisor's folder, `$2`: seconds, further ones: ports, as /proc/net/tcp has them. Waits until one is listened on. */
export const AWAIT = `
state=$1 left=$2
shift 2
while :; do
  if [ -e "$state/ended" ]; then
    cat "$state/ended"
    exit ${ENDS.ended}
  fi
  for port; do
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q ": [0-9A-F]*:$port [0-9A-F]*:0000 0A" && exit 0
  done
  [ "$left" -gt 0 ] || exit ${ENDS.silent}
  left=$((left - 1))
  sleep 1
done
`;
