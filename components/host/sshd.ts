/** Berth's part of sshd's configuration, and what others say beside it. Python and bash, pure text. */
import { heredoc } from "./shell";
import type { StageStep } from "./stage";

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
 */
const SSHD = `# Berth: keys only. This file is rendered.
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitEmptyPasswords no
X11Forwarding no
MaxStartups 100:30:200
MaxSessions 64
ClientAliveInterval 30
ClientAliveCountMax 10
${SSH_ALGORITHMS}`;

/** Where sshd finds the operator's keys: a file of ours, so that the person's own authorized_keys is never touched. */
export const KEYS_DIR = "/etc/ssh/berth-keys";

/**
 * The drop-in's text. SSHD_PROGRAM decides about root's line, and whether the algorithms' stay in it.
 * @param operatorKeys whether keys of an operator lie in KEYS_DIR
 */
export const sshdDropIn = (operatorKeys: boolean): string =>
  operatorKeys
    ? `${SSHD}AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys2 ${KEYS_DIR}/%u\n`
    : SSHD;

export const DROP_IN = "/etc/ssh/sshd_config.d/10-berth.conf";

/**
 * `CONFIG DROP_IN TEXT`: reads the configuration as it would be with the text as the drop-in, and prints
 *  - `problem …` for each setting of Berth's that an earlier line decides otherwise, with that line's file and number, or
 *    that no Include reaches;
 *  - `except KEYWORD …` for each line in a Match block that says otherwise for some connections;
 *  - `own KEYWORD …` for each list of algorithms that somebody else has chosen: theirs may be shorter than Berth's;
 *  - `add LINE` for a line that belongs into the text as well: root's login, by keys alone, where others let root in with
 *    a password. Where they say `no`, or nothing, which means the same as Berth's line, theirs stays: nothing is opened.
 *
 * As sshd reads it (sshd_config(5)): the first value of a keyword counts, an Include stands for its files in the order of
 * their names, a Match block ends at the next one or with its file, and what it says wins over all that is outside.
 */
export const SSHD_PROGRAM = `import fnmatch, glob, os, re, shlex, sys
config, drop_in, text = sys.argv[1:4]
SAME = {"challengeresponseauthentication": "kbdinteractiveauthentication", "skeyauthentication": "kbdinteractiveauthentication"}
def number(value):
    return value.isdigit() and int(value) >= 64
WANTED = {"passwordauthentication": ("PasswordAuthentication no", lambda value: value == "no"),
          "kbdinteractiveauthentication": ("KbdInteractiveAuthentication no", lambda value: value == "no"),
          "maxsessions": ("MaxSessions 64 or more", number)}
ALGORITHMS = ("kexalgorithms", "macs")
first, blocks, own, reached, root = {}, [], {}, False, None
def lines(path):
    try:
        with open(text if path == drop_in else path, encoding="utf-8", errors="replace") as file:
            return file.read().split("\\n")
    except OSError:
        return []
def walk(path, match, depth):
    global reached, root
    outer = match
    reached = reached or (path == drop_in and not match)
    for i, line in enumerate(lines(path), 1):
        found = re.match(r"\\s*([A-Za-z0-9]+)(?:\\s*=\\s*|\\s+)(.*)", line)
        if not found:
            continue
        try:
            words = shlex.split(found.group(2), comments=True)
        except ValueError:
            words = found.group(2).split()
        keyword = found.group(1).lower()
        keyword = SAME.get(keyword, keyword)
        if not words:
            continue
        if keyword == "match":
            match = outer + ["Match " + " ".join(words)]
        elif keyword == "include" and depth < 16:
            for pattern in words:
                pattern = os.path.join("/etc/ssh", pattern)
                files = set(glob.glob(pattern)) | ({drop_in} if fnmatch.fnmatchcase(drop_in, pattern) else set())
                for name in sorted(files):
                    walk(name, match, depth + 1)
        elif keyword in ALGORITHMS and path != drop_in:
            own.setdefault(keyword, "%s %s (%s line %d)" % (found.group(1), words[0], path, i))
        elif keyword == "permitrootlogin" and not match and path != drop_in:
            root = root or words[0].lower()
        elif keyword in WANTED:
            said = (words[0].lower(), "%s line %d" % (path, i), "%s %s" % (found.group(1), words[0]))
            if match:
                blocks.append((keyword, match) + said)
            else:
                first.setdefault(keyword, said)
walk(config, [], 0)
if root == "yes":
    print("add PermitRootLogin prohibit-password")
for keyword, (wanted, good) in WANTED.items():
    value, where, said = first.get(keyword, ("", "", ""))
    if good(value):
        continue
    if where and not where.startswith(drop_in + " "):
        print("problem sshd would not use '%s': %s says %s before Berth's part is read, and the first value counts. Take "
              "that line out" % (wanted, where, said))
    elif not reached:
        print("problem sshd would not use '%s': no line of %s includes %s/*.conf outside a Match block. Put this at its top: "
              "Include %s/*.conf" % (wanted, config, os.path.dirname(drop_in), os.path.dirname(drop_in)))
for keyword, criteria, value, where, said in blocks:
    wanted, good = WANTED[keyword]
    if not good(value):
        print("except %s '%s' stays, where %s applies (%s)" % (keyword, said, ", ".join(criteria), where))
for keyword, said in own.items():
    print("own %s %s" % (keyword, said))
`;

/**
 * `effective`: what sshd would use for a connection. Every attribute that a Match block may ask for is given, since
 * sshd ends with an error over one that is missing.
 */
const EFFECTIVE =
  "effective() { sshd -T -C user=root,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22,rdomain=; }";

/** Fills $work/sshd with the program's lines, and $work/sshd-text with the drop-in's text, less what others have chosen. */
const LOOK = (text: string) =>
  `
cat >"$work/sshd.py" ${heredoc(SSHD_PROGRAM)}
cat >"$work/sshd-text" ${heredoc(text)}
python3 "$work/sshd.py" /etc/ssh/sshd_config ${DROP_IN} "$work/sshd-text" >"$work/sshd"
while read -r kind keyword _; do
  if [ "$kind" = own ]; then sed -i "/^$keyword /Id" "$work/sshd-text"; fi
done <"$work/sshd"
sed -n 's/^add //p' "$work/sshd" >>"$work/sshd-text"
`.trim();

/**
 * The drop-in is judged before it is placed, and tested before sshd reads it; where that fails, what was there before is
 * there again. A Match block of the operator's stays: the fact `sshdExceptions` tells what it lets through.
 */
export function sshdStep(operatorKeys: boolean): StageStep {
  const body = `
${EFFECTIVE}
drop_in=${DROP_IN}
before=$work/sshd-before
was_pending=no
install -d -m 0755 /run/sshd
if ! sshd -t; then fail 'sshd refuses its configuration as it is, without any change of Berth: mend that first'; fi
${LOOK(sshdDropIn(operatorKeys))}
if grep -e '^problem ' "$work/sshd"; then fail 'nothing of sshd was changed: see above'; fi
sed -n 's/^own [a-z]* /left as it is: /p' "$work/sshd"
sed -n 's/^except [a-z]* //p' "$work/sshd" | tee "$work/sshd-exceptions"
fact_json sshdExceptions "$(json_lines <"$work/sshd-exceptions")"
if pending sshd; then was_pending=yes; fi
if [ -f "$drop_in" ]; then cp -p -- "$drop_in" "$before"; fi
back() {
  if [ -f "$before" ]; then mv -f -- "$before" "$drop_in"; else rm -f -- "$drop_in"; fi
  if [ "$was_pending" = no ]; then settled sshd; fi
  fail "$1: $drop_in is as it was, and nothing was reloaded"
}
place 0644 "$drop_in" sshd <"$work/sshd-text"
if ! sshd -t; then back "sshd refuses its configuration with $drop_in"; fi
if ! effective >"$work/sshd-effective"; then back 'sshd does not tell what it would use'; fi
for want in 'passwordauthentication no' 'kbdinteractiveauthentication no' 'maxsessions [0-9]*'; do
  if ! grep -q -x -e "$want" "$work/sshd-effective" && ! grep -q -e "^except \${want%% *} " "$work/sshd"; then
    back "sshd would use '$(grep -e "^\${want%% *} " "$work/sshd-effective" || true)', and '$want' is wanted"
  fi
done
if pending sshd; then
  # Ubuntu starts ssh by its socket: then there may be nothing to reload.
  systemctl try-reload-or-restart ssh.service
  settled sshd
fi
`;
  return { name: "sshd", body };
}

/** What will change, in words; needs `will`, and what \`sshdProblems\` left in $work. */
export const SSHD_CHANGES = `
${EFFECTIVE}
if [ ! -e ${DROP_IN} ]; then
  text='adds ${DROP_IN}: no password login'
  effective 2>/dev/null >"$work/sshd-now" || true
  if grep -q -i -x -e 'passwordauthentication yes' "$work/sshd-now"; then
    text="$text (today passwords are taken: make sure that everybody has a key)"
  fi
  if [ -e "$work/sshd-text" ]; then
    while read -r key value _; do
      now=$(awk -v key="$key" 'tolower($1) == tolower(key) {print $2}' "$work/sshd-now")
      case $key in
        '#'* | PasswordAuthentication | MACs) continue ;;
        KexAlgorithms) text="$text; no SSH client older than OpenSSH 6.5"; continue ;;
      esac
      if [ -n "$now" ] && [ "$now" != "$value" ]; then text="$text; $key $value (now $now)"; fi
    done <"$work/sshd-text"
  fi
  will "$text"
fi
if [ -e "$work/sshd" ]; then
  sed -n 's/^\\(except\\|own\\) [a-z]* /leaves a line of sshd as it is: /p' "$work/sshd" >>"$work/will"
fi
`.trim();

/** What stands in the way. Without Python nothing is said here: the stage \`base\` looks before it changes sshd. */
export function sshdProblems(operatorKeys: boolean): string {
  return `
if ! command -v python3 >/dev/null || [ ! -e /etc/ssh/sshd_config ]; then return 0; fi
${LOOK(sshdDropIn(operatorKeys))}
sed -n 's/^problem //p' "$work/sshd" >>"$work/problems"
`.trim();
}
