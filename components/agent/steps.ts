/** The steps of the agent stage. Pure text. */
import { AGENT } from "./options";

const { berth, programs, config, lock, socket, sockets, state, unit } = AGENT;

/** What carries the files from the image; it never runs. */
const PARCEL = "berth-agent-parcel";

/** The way back: files, ledger and version of the berthd that ran before this run. */
const BEFORE = `before=$state/agent-before
managed=(${config}/node.json ${config}/limits.json ${config}/gpus.json ${unit})`;

/**
 * `granted_since`: a berthd has granted, could have, or has revoked a token since the ledger was copied. To go back to
 * that copy would undo it. berthd is down while its ledger is copied, and its event log has a line whenever it begins to
 * grant: the last such line tells. (/ready: for a log that cannot be written.) A ledger that a new version changed
 * without ever being ready does not count: its copy is all that the one before can read.
 */
export const GRANTED = `
last_grant() {
  cat -- "$logs/events.jsonl.1" "$logs/events.jsonl" 2>/dev/null |
    grep -a -E '^\\{"seq":[0-9]+,"event":"(ledger-open|granted|token-revoked)"' | tail -n 1 || true
}
grants() { curl -f -s -S -o /dev/null --max-time 5 --unix-socket ${socket} http://berthd/ready; }
granted_since() {
  if [ ! -d "$before/ledger" ]; then return 1; fi
  if grants 2>/dev/null; then return 0; fi
  [ "$(last_grant)" != "$(cat -- "$before/ledger/last-grant" 2>/dev/null)" ]
}
`.trim();

/**
 * `document KEY` prints a part of the stage's standard input as JSON. `same_but_users FILE FILE`: two node documents
 * that differ in their people at most, which berthd takes over while it runs.
 */
export const DOCUMENTS = `
document() {
  local read='import json, sys
json.dump(json.load(sys.stdin)[sys.argv[1]], sys.stdout, indent=2)
sys.stdout.write("\\n")'
  printf '%s' "$secrets" | python3 -c "$read" "$1"
}
has_document() {
  printf '%s' "$secrets" | python3 -c 'import json, sys
sys.exit(0 if sys.argv[1] in json.load(sys.stdin) else 1)' "$1"
}
same_but_users() {
  python3 -c 'import json, sys
def load(name):
    with open(name, encoding="utf-8") as file:
        return {key: value for key, value in json.load(file).items() if key != "users"}
try:
    sys.exit(0 if load(sys.argv[1]) == load(sys.argv[2]) else 1)
except (OSError, ValueError, AttributeError):
    sys.exit(1)' "$1" "$2"
}
`.trim();

/** A version's folder is whole when \`.whole\` is in it: all its files are on the disk then. */
export const PROGRAM = `
programs=${programs}
install -d -m 0755 -- /usr/local/lib/berth "$programs"
rm -rf -- "$programs"/.new-??????
if [ -e "$programs/$version/.whole" ]; then return 0; fi
# What a run that was cut left.
docker container rm -f ${PARCEL} >/dev/null 2>&1 || true
for try in 1 2 3; do
  if docker pull -q "$image"; then break; fi
  if [ "$try" = 3 ]; then fail "$image cannot be pulled"; fi
  sleep "$((try * 3))"
done
docker container create --name ${PARCEL} --network none --label berth.component=agent "$image"
new=$(mktemp -d -- "$programs/.new-XXXXXX")
docker container cp ${PARCEL}:/agent/. "$new"
docker container rm ${PARCEL} >/dev/null
docker image rm "$image" >/dev/null
gzip -d -- "$new/node.gz"
chmod 0755 -- "$new/node"
chmod -R u=rwX,go=rX -- "$new"
found=$("$new/node" --version 2>&1) || fail "the Node.js of $image does not run here: $found"
: >"$new/.whole"
find "$new" -type f -exec sync -- {} +
rm -rf -- "\${programs:?}/$version"
mv -T -- "$new" "$programs/$version"
sync -- "$programs"
changed "berthd $version"
`;

/**
 * What there is to go back to; kept as it is while a run before this one has not ended well and nothing was granted
 * since. `version` is the last to be written and the first to go: with it the rest is whole.
 */
export const SAVE = `
${BEFORE}
${GRANTED}
if pending berthd && [ -s "$before/version" ]; then
  if ! granted_since; then return 0; fi
elif ! systemctl is-active -q berthd.service; then
  rm -rf -- "$before"
  return 0
fi
rm -f -- "$before/version"
rm -rf -- "$before"
install -d -m 0700 -- "$before" "$before/files"
for file in "\${managed[@]}"; do
  if [ -e "$file" ]; then cp -p -- "$file" "$before/files/\${file//\\//_}"; fi
done
if grants 2>/dev/null; then : >"$before/ready"; fi
readlink -- ${programs}/current >"$before/version"
`;

/** Stand-ins beside a real driver would hide it. */
export const NO_NVIDIA = `
  if [ -e /dev/nvidiactl ] || [ -e /proc/driver/nvidia/version ] || [ -e /usr/bin/nvidia-smi ]; then
    fail "this node has NVIDIA's driver, and its configuration declares GPUs (gpus): take them out, for the driver says what there is"
  fi
`.trim();

/**
 * `told` names a file with who holds which GPU, where the node's declared GPUs are about to change: to take one away is
 * to take it from its holder. Asked of the berthd that runs, which grants nothing from then on (the lock, held until
 * this step ends) and is stopped once the answer was checked (`hold_grants`); of one that does not run, the containers
 * tell. `asked` keeps for which GPUs an answer was good, where a run was cut off after that.
 */
export const HOLDERS = `
told=()
asked=$state/agent-asked
# Who holds what. A berth that is older than these words calls it \`pool\`, and says to others that there is no such command (2).
show_declared() {
  local answer rc=0
  answer=$(timeout 90 ${berth} declared show --json) || rc=$?
  if [ "$rc" = 2 ]; then
    timeout 90 ${berth} pool show --json
  else
    printf '%s\\n' "$answer"
    return "$rc"
  fi
}
next_gpus() { { if [ -e "$fresh/gpus.json" ]; then cat -- "$fresh/gpus.json"; fi; } | sha256sum; }
if [ -x ${berth} ] && [ -e ${config}/gpus.json ] && ! cmp -s -- "$fresh/gpus.json" ${config}/gpus.json; then
  if systemctl is-active -q berthd.service; then
    exec 8>>${lock}
    if ! flock -w 60 8; then
      fail "the GPUs that this node declares are to change, and another program has held ${lock} for more than 60 s; nothing was changed"
    fi
    if ! show_declared >"$work/declared.json" 2>"$work/declared.said"; then
      fail "the GPUs that this node declares are to change, and berthd, which knows who holds them, does not tell: $(head -c 400 -- "$work/declared.said"). See why (journalctl -u berthd), or leave them as they were until berth declared show answers; nothing was changed"
    fi
    told=("$work/declared.json")
  elif [ "$(next_gpus)" != "$(cat -- "$asked" 2>/dev/null)" ]; then
    having=$(docker ps --all --filter label=berth.gpus --format '{{.Names}} {{.Label "berth.gpus"}}' | awk 'NF > 1 { print $1 }' | paste -s -d ' ' -)
    if [ -n "$having" ]; then
      fail "the GPUs that this node declares are to change, berthd does not run, and these containers were given some: $having. Start it (systemctl start berthd) or remove them; nothing was changed"
    fi
  fi
fi
hold_grants() {
  if [ "\${#told[@]}" = 0 ]; then return 0; fi
  next_gpus >"$asked"
  # Whatever fails from here on must not leave the node without one.
  trap 'if [ "$?" != 0 ]; then flock -u 8; systemctl start berthd.service; fi' EXIT
  systemctl stop berthd.service
}
`.trim();

/** `stand_ins VERSION`: nvidia-smi and CDI devices where gpus.json is, none where it is not. */
export const STAND_INS = `
stand_ins() {
  local name
  # Containers read them too.
  (umask 022 && exec "${programs}/$1/node" "${programs}/$1/stand-ins.cjs") >"$work/stand-ins"
  while IFS= read -r name; do changed "$name"; done <"$work/stand-ins"
}
`.trim();

/**
 * The new one has to answer, and to be ready if the one before was: else that one runs again with its files, and its
 * ledger where the version changed. A ledger that a newer version has touched is none that an older one reads. Nothing
 * that people hold is undone: a copy from before the last grant is replaced by a new one first, see GRANTED.
 */
export const START = `
${BEFORE}
${GRANTED}
${STAND_INS}
programs=${programs}
have=$(readlink -- "$programs/current" || true)
if [ "$have" = "$version" ] && ! pending berthd && systemctl is-active -q berthd.service; then return 0; fi
: >"$state/pending/berthd"
turn() {
  ln -s -f -n -- "$1" "$programs/.current-new"
  mv -f -T -- "$programs/.current-new" "$programs/current"
  sync -- "$programs"
}
copy_ledger() {
  local file
  for file in "$1"/ledger.db*; do
    if [ -e "$file" ]; then cp -p -- "$file" "$2/"; fi
  done
}
# shellcheck disable=SC2317 # called by wait_for
answers() { curl -s -o /dev/null --max-time 5 --unix-socket ${socket} http://berthd/health; }
come_up() {
  local pid
  systemctl daemon-reload || return 1
  systemctl enable -q berthd.service || return 1
  # A start that failed a moment ago counts against those that systemd allows.
  systemctl reset-failed berthd.service 2>/dev/null || true
  systemctl restart berthd.service || return 1
  pid=$(systemctl show -p MainPID --value berthd.service)
  (wait_for 30 'berthd answers' answers) || return 1
  if [ "$1" = ready ]; then
    (wait_for 60 'berthd is ready, as it was before' grants) || return 1
  else
    (wait_for 20 'berthd is ready' grants) || true
  fi
  if [ "$(systemctl show -p MainPID --value berthd.service)" != "$pid" ]; then
    printf 'berthd ended and was started again\\n'
    return 1
  fi
}
# With a way back also one that systemd is about to start again: it must not write while the ledger is copied.
if [ "$have" != "$version" ] && { [ -d "$before" ] || systemctl is-active -q berthd.service; }; then
  systemctl stop berthd.service
fi
# It became ready after SAVE had looked. The version first: a run that is cut in between saves afresh.
if granted_since; then
  printf '%s\\n' "$have" >"$before/version"
  rm -rf -- "$before/ledger"
fi
if [ "$have" != "$version" ]; then
  if [ -d "$before" ] && [ ! -d "$before/ledger" ]; then
    # Half a copy: its log must not lie beside a later database.
    rm -rf -- "$before/ledger.new"
    install -d -m 0700 -- "$before/ledger.new"
    copy_ledger ${state} "$before/ledger.new"
    last_grant >"$before/ledger.new/last-grant"
    find "$before/ledger.new" -type f -exec sync -- {} +
    mv -T -- "$before/ledger.new" "$before/ledger"
  fi
  turn "$version"
fi
since=$(date +%s)
wanted=any
if [ -e "$before/ready" ]; then wanted=ready; fi
rm -f -- "$state/agent-asked"
if come_up "$wanted"; then
  changed 'berthd started'
  settled berthd
  return 0
fi
said() { journalctl -u berthd.service --since "@$since" -n 12 --no-pager -o cat; }
last=$(cat -- "$before/version" 2>/dev/null || true)
if [ -z "$last" ] || [ ! -d "$programs/$last" ]; then
  systemctl stop berthd.service || true
  said
  fail "berthd $version does not come up: its last lines are above, all of them in journalctl -u berthd.service"
fi
said >"$work/said"
systemctl stop berthd.service || true
# From here on the copy counts, also for a run after a cut, whatever the new one granted before it failed.
if [ -d "$before/ledger" ]; then
  last_grant >"$before/last-grant"
  mv -f -T -- "$before/last-grant" "$before/ledger/last-grant"
fi
for file in "\${managed[@]}"; do
  saved=$before/files/\${file//\\//_}
  if [ -e "$saved" ]; then
    cp -p -- "$saved" "$file.berth-new"
    mv -f -T -- "$file.berth-new" "$file"
  else
    rm -f -- "$file"
  fi
done
stand_ins "$last"
if [ -d "$before/ledger" ]; then
  rm -f -- ${state}/ledger.db*
  copy_ledger "$before/ledger" ${state}
fi
turn "$last"
if come_up "$wanted"; then
  settled berthd
  cat -- "$work/said"
  fail "berthd $version does not come up: its last lines are above. The one before, $last, runs again with its own files and ledger"
fi
cat -- "$work/said"
fail "berthd $version does not come up, and $last, which ran before, does not either: see journalctl -u berthd.service"
`;

/** A workspace that starts behind this stage finds its user's socket. */
export const SOCKETS = `
# shellcheck disable=SC2317 # called by wait_for
listens() {
  local name
  for name in "\${users[@]}"; do
    if [ ! -S "${sockets}/$name/berth.sock" ]; then
      printf '%s has no socket: see journalctl -u berthd.service\\n' "$name"
      return 1
    fi
  done
}
wait_for 20 'berthd listens for everybody of this node' listens
`;

/** Older versions, and the folders of those who have left the node. */
export const SWEEP = `
${BEFORE}
for folder in ${programs}/*; do
  if [ -L "$folder" ] || [ ! -d "$folder" ] || [ "\${folder##*/}" = "$version" ]; then continue; fi
  rm -rf -- "$folder"
  changed "$folder"
done
for folder in ${sockets}/*; do
  [ -d "$folder" ] || continue
  if ! printf '%s\\n' "\${users[@]}" | grep -q -x -F -e "\${folder##*/}"; then
    rm -rf -- "$folder"
    changed "$folder"
  fi
done
rm -rf -- "$before"
`;

/** What berthd says of itself: the first words of what is wrong, where something is. */
export const REPORT = `
ask() {
  local path=$1
  shift
  curl -s -S --max-time 10 --unix-socket ${socket} "$@" "http://berthd$path"
}
read_json() {
  local read='import json, sys
value = json.load(open(sys.argv[1], encoding="utf-8"))
if sys.argv[2] == "reasons":
    print("; ".join(str(reason) for reason in value.get("reasons", [])))
else:
    print(len(value["gpus"]))'
  python3 -c "$read" "$1" "$2"
}
fact version "$(readlink -- ${programs}/current)"
ready=false
if [ "$(ask /ready -o /dev/null -w '%{http_code}')" = 200 ]; then ready=true; fi
fact_json ready "$ready"
ask /health >"$work/health"
fact problem "$(read_json "$work/health" reasons)"
ask /api/gpus >"$work/gpus"
fact_json gpus "$(read_json "$work/gpus" gpus)"
`;
