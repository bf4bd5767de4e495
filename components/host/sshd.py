# `CONFIG DROP_IN TEXT`: reads the configuration as it would be with the text as the drop-in, and prints
#  - `problem …` for each setting of Berth's that an earlier line decides otherwise, with that line's file and number, or
#    that no Include reaches;
#  - `except KEYWORD …` for each line in a Match block that says otherwise for some connections;
#  - `own KEYWORD …` for each list of algorithms that somebody else has chosen: theirs may be shorter than Berth's;
#  - `add LINE` for a line that belongs into the text as well: root's login, by keys alone, where others let root in with
#    a password. Where they say `no`, or nothing, which means the same as Berth's line, theirs stays: nothing is opened.
#
# As sshd reads it (sshd_config(5)): the first value of a keyword counts, an Include stands for its files in the order of
# their names, a Match block ends at the next one or with its file, and what it says wins over all that is outside.
# ---
import fnmatch, glob, os, re, shlex, sys
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
            return file.read().split("\n")
    except OSError:
        return []
def walk(path, match, depth):
    global reached, root
    outer = match
    reached = reached or (path == drop_in and not match)
    for i, line in enumerate(lines(path), 1):
        found = re.match(r"\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*)", line)
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
