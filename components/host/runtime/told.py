# `UNIT check DAEMON_JSON [KEY...]`: prints what stands in the way, a line each: a setting, in the file or as an
# option, with which published ports could not be guarded; an option for a KEY that Berth sets in the file (dockerd
# refuses to start with "directives are specified both as a flag and in the configuration file"); another file.
# `UNIT options`: prints the options, each with a NUL behind it, without the file's own name.
#
# UNIT is what `systemctl cat` prints: the unit and its drop-ins, each behind a line with its path. Read as systemd does
# (systemd.service, "Command lines"; systemd.exec, Environment= and EnvironmentFile=): an empty value takes back those
# before it, `$NAME` as a word becomes its words, `${NAME}` is put in its place, files win over Environment=.
# How options are written is pflag's rule, switches as Go's strconv.ParseBool reads them; which key each stands for is
# moby's cmd/dockerd/config.go: a list is called by its plural in the file.
#
# `settings` gives those of [Service] in order, `command` the words of the command with the file that each stands in,
# `arguments` what stands behind dockerd, also inside the text of a shell, `options` each one's name, value, words, file.
# ---
import glob, os, re, shlex
# Options without a value of their own, of Docker 20.10 to 29.
SWITCHES = set("""allow-direct-routing cri-containerd debug disable-legacy-registry experimental help icc init ip-forward
ip-forward-no-drop ip-masq ip6tables iptables ipv6 live-restore no-new-privileges raw-logs rootless selinux-enabled tls
tlsverify userland-proxy validate version""".split())
SHORT = {"b": "bridge", "D": "debug", "g": "data-root", "G": "group", "H": "host", "l": "log-level", "p": "pidfile",
         "s": "storage-driver", "v": "version"}
KEYS = {"add-runtime": "runtimes", "graph": "data-root", "insecure-registry": "insecure-registries"}
for name in ("authorization-plugin cdi-spec-dir cluster-store-opt default-address-pool default-network-opt default-ulimit "
             "dns-opt exec-opt feature host label log-opt node-generic-resource registry-mirror storage-opt").split():
    KEYS[name] = name + "s"

def words(text):
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()

def settings(text):
    source, section, joined = "docker.service", "", ""
    for line in text.split("\n"):
        header = re.match(r"# (/\S+)$", line)
        if header:
            source, joined = header.group(1), ""
        if re.match(r"\s*[#;]", line):
            continue
        if line.endswith("\\"):
            joined += line[:-1] + " "
            continue
        line, joined = (joined + line).strip(), ""
        if re.match(r"\[.*\]$", line):
            section = line
        elif section == "[Service]" and "=" in line:
            name, value = line.split("=", 1)
            yield name.strip(), value.strip(), source

def command(text):
    given, files, start = {}, [], []
    for name, value, source in settings(text):
        if name == "Environment":
            if not value:
                given.clear()
            for word in words(value):
                key, _, content = word.partition("=")
                given[key] = (content, source)
        elif name == "EnvironmentFile":
            files = files + [value] if value else []
        elif name == "ExecStart":
            start = start + [(value, source)] if value else []
    for pattern in files:
        for path in sorted(glob.glob(pattern.lstrip("-"))):
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    content = re.sub(r"\\\n", " ", file.read())
            except OSError:
                continue
            for line in content.split("\n"):
                key, sign, value = line.strip().partition("=")
                if sign and not key.startswith(("#", ";")):
                    value = value.strip()
                    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                        value = value[1:-1]
                    given[key.strip()] = (value, path)
    result = []
    for value, source in start:
        literal = re.match(r"[-@:+!|]*", value).group(0)
        for word in words(value[len(literal):]):
            alone = re.fullmatch(r"\$([A-Za-z_][A-Za-z0-9_]*)", word)
            if ":" in literal:
                result.append((word, source))
            elif alone:
                content, where = given.get(alone.group(1), ("", source))
                result += [(part, where) for part in words(content)]
            else:
                put = re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", lambda m: given.get(m.group(1), ("",))[0], word)
                result.append((put.replace("$$", "$").replace("%%", "%"), source))
    return result, given

def arguments(text):
    found, given = command(text)
    for i, (word, source) in enumerate(found):
        if os.path.basename(word) == "dockerd":
            return found[i + 1:]
        inner = words(word)
        for k, part in enumerate(inner):
            if len(inner) > 1 and os.path.basename(part) == "dockerd":
                result = []
                for one in inner[k + 1:]:
                    name = re.fullmatch(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?", one)
                    text, where = given.get(name.group(1), ("", source)) if name else ("", source)
                    result += [(part, where) for part in words(text)] if name else [(one, source)]
                return result + found[i + 2:]
    return []

def options(text):
    rest = arguments(text)
    while rest:
        (word, source), rest = rest[0], rest[1:]
        if not re.match(r"--?[A-Za-z]", word):
            continue
        written = [word]
        if word.startswith("--"):
            name, sign, value = word[2:].partition("=")
        else:
            while len(word) > 2 and SHORT.get(word[1]) in SWITCHES:
                yield SHORT[word[1]], None, [word[:2]], source
                word = "-" + word[2:]
            name, value = SHORT.get(word[1], word[1]), word[2:].lstrip("=")
            sign, written = value, [word]
        if not sign:
            value = None
            if name not in SWITCHES and rest:
                value = rest[0][0]
                written.append(value)
                rest = rest[1:]
        yield name, value, written, source

def switch(value):
    return value not in ("0", "f", "F", "false", "False", "FALSE")

OPEN = "published ports could not be guarded: "
RULES = OPEN + "the rules of Berth stand in the chain DOCKER-USER of iptables"
PROXY = OPEN + "loopback of the node would be routed to containers, and none would reach its own node's published ports"
REFUSED = {"iptables": (False, RULES), "ip6tables": (False, RULES), "firewall-backend": ("nftables", RULES),
           "userland-proxy": (False, PROXY)}

def check(text, path, keys):
    have = load(path)
    for key, (value, reason) in REFUSED.items():
        if key in have and have[key] == value and type(have[key]) is type(value):
            yield '%s says "%s": %s, and %s. Take the line out' % (path, key, json.dumps(value), reason)
    for name, value, written, source in options(text):
        key, as_written = KEYS.get(name, name), " ".join(written)
        if name == "config-file":
            if value != path:
                yield ("dockerd is started with %s (%s), and Berth writes %s: move what that file says there, and take "
                       "the option out" % (as_written, source, path))
        elif key in REFUSED and REFUSED[key][0] == (switch(value) if REFUSED[key][0] is False else value):
            yield "dockerd is started with %s (%s), and %s. Take the option out" % (as_written, source, REFUSED[key][1])
        elif key in keys:
            yield ("dockerd is started with %s (%s), and Berth sets %s in %s: dockerd does not start with both. Take the "
                   "option out, and put what Berth leaves open into that file" % (as_written, source, key, path))

with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
    unit = file.read()
if sys.argv[2] == "options":
    for name, value, written, source in options(unit):
        if name != "config-file":
            for word in written:
                sys.stdout.write(word + "\0")
else:
    for line in check(unit, sys.argv[3], sys.argv[4:]):
        print(line)
