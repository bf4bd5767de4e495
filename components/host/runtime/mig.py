#!/usr/bin/python3 -u
"""Divides the GPUs of this node. Written by Berth: a change here is lost."""
import fcntl, glob, json, os, re, subprocess, sys, time

REQUEST, CONFIG = "/etc/berth/mig.json", "/etc/berth/mig.yaml"
# Held while a GPU is divided; root's alone, as whoever can read it can lock it.
LOCK, LOCK_SECONDS = "/etc/berth/mig.lock", 420
PROC = "/proc"
BERTH, BERTH_SECONDS = "/usr/local/bin/berth", 90
# These hold a GPU without working on it.
KEEPERS = {"nvidia-persistenced", "nv-fabricmanager", "nvidia-smi"}


def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)


def run(*command, check=True, keep=()):
    try:
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=400,
                             pass_fds=keep)
    except (OSError, subprocess.TimeoutExpired) as error:
        fail("%s: %s" % (" ".join(command), error))
    if check and ran.returncode != 0:
        fail("%s failed (status %d): %s" % (" ".join(command), ran.returncode, (ran.stdout + ran.stderr).strip()))
    return ran


def gpus():
    out = run("nvidia-smi", "--query-gpu=index,uuid,mig.mode.current,mig.mode.pending,name", "--format=csv,noheader")
    rows = [[cell.strip() for cell in line.split(",", 4)] for line in out.stdout.splitlines() if line.strip()]
    keys = ("index", "uuid", "mode", "pending", "name")
    return [dict(zip(keys, row), index=int(row[0])) for row in rows]


def rows(gpu):
    """What the driver offers on a GPU: name, number and how many of it."""
    text = run("nvidia-smi", "mig", "-lgip", "-i", str(gpu["index"])).stdout
    row = re.compile(r"^\|\s+%d\s+MIG\s+(\S+)\s+(\d+)\s+\d+/(\d+)\s" % gpu["index"], re.M)
    return row.findall(text)


def profiles(gpu):
    return {name: int(total) for name, _, total in rows(gpu)}


def placed(gpu, wanted):
    """Whether all instances find places at once. Where the driver does not tell the places, nvidia-mig-parted finds out."""
    ran = run("nvidia-smi", "mig", "-lgipp", "-i", str(gpu["index"]), check=False)
    row = re.compile(r"^GPU\s+%d\s+Profile ID\s+(\d+)\s+Placements?\s*:\s*\{([\d,\s]*)\}\s*:\s*(\d+)" % gpu["index"], re.M)
    shapes = {number: (int(size), [int(start) for start in starts.split(",") if start.strip()])
              for number, starts, size in row.findall(ran.stdout)}
    numbers = {name: number for name, number, _ in rows(gpu)}
    if any(numbers.get(name) not in shapes for name in wanted):
        return True
    # The largest first: few starts are left for them.
    todo = sorted((shapes[numbers[name]] for name, count in wanted.items() for _ in range(count)),
                  key=lambda shape: (-shape[0], len(shape[1])))

    def place(at, taken):
        if at == len(todo):
            return True
        size, starts = todo[at]
        spans = (set(range(start, start + size)) for start in starts)
        return any(place(at + 1, taken | span) for span in spans if not span & taken)

    return place(0, set())


def capable(gpu):
    return gpu["mode"] in ("Enabled", "Disabled")


def counts(gpu, layout):
    """Instances by profile; none when MIG is to be off."""
    if layout == "all-disabled":
        return {}
    offered = profiles(gpu)
    wanted = {layout[len("all-"):]: None} if isinstance(layout, str) else layout
    for profile, count in wanted.items():
        if profile not in offered:
            fail("GPU %d (%s) has no MIG profile %s; it has %s"
                 % (gpu["index"], gpu["name"], profile, ", ".join(sorted(offered)) or "none"))
        if count is not None and count > offered[profile]:
            fail("GPU %d (%s) holds %d x %s at most, and %d are asked for"
                 % (gpu["index"], gpu["name"], offered[profile], profile, count))
    result = {profile: offered[profile] if count is None else count for profile, count in wanted.items()}
    if not placed(gpu, result):
        fail("GPU %d (%s) has no places for %s together; alone it holds %s"
             % (gpu["index"], gpu["name"], ", ".join("%d x %s" % (count, name) for name, count in sorted(result.items())),
                ", ".join("%d x %s" % (offered[name], name) for name in sorted(result))))
    return result


def plan(found, entries):
    result = {}
    for entry in entries:
        which = entry["gpu"]
        if which == "all":
            chosen = [gpu for gpu in found if capable(gpu)]
            if entry.get("optional"):
                # The stack's default for all nodes: for those GPUs that have it.
                chosen = [gpu for gpu in chosen if entry["layout"][len("all-"):] in profiles(gpu)]
            elif not chosen:
                fail("no GPU of this node can be divided (MIG): %s" % "; ".join(gpu["name"] for gpu in found))
        else:
            chosen = [gpu for gpu in found if which in (gpu["index"], gpu["uuid"])]
            if not chosen:
                fail("this node has no GPU %s; it has %s"
                     % (which, "; ".join("%d: %s" % (gpu["index"], gpu["uuid"]) for gpu in found)))
            if not capable(chosen[0]):
                fail("GPU %d (%s) cannot be divided (MIG)" % (chosen[0]["index"], chosen[0]["name"]))
        for gpu in chosen:
            if gpu["index"] in result:
                fail("GPU %d (%s) has two layouts: by its index and by its UUID" % (gpu["index"], gpu["uuid"]))
            result[gpu["index"]] = (gpu, counts(gpu, entry["layout"]))
    return [result[index] for index in sorted(result)]


def config(planned):
    """nvidia-mig-parted's file: a label for each GPU, and berth for all of them together."""
    def one(gpu, instances):
        lines = ["    - devices: [%d]" % gpu["index"], "      mig-enabled: %s" % ("true" if instances else "false")]
        if instances:
            lines += ["      mig-devices:"] + ['        "%s": %d' % item for item in sorted(instances.items())]
        return lines
    lines = ["# Written by Berth: a change here is lost.", "version: v1", "mig-configs:"]
    for gpu, instances in planned:
        lines += ["  gpu-%d:" % gpu["index"]] + one(gpu, instances)
    lines += ["  berth:" if planned else "  berth: []"] + [line for item in planned for line in one(*item)]
    return "\n".join(lines) + "\n"


def content(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def write(path, text):
    """Says whether that changed it."""
    if content(path) == text:
        return False
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(path + ".new", 0o644)
    os.rename(path + ".new", path)
    return True


def applied(gpu, path):
    ran = run("nvidia-mig-parted", "assert", "-f", path, "-c", "gpu-%d" % gpu["index"], check=False)
    if ran.returncode == 0:
        return True
    if "not currently applied" in ran.stdout + ran.stderr:
        return False
    fail("nvidia-mig-parted could not look at GPU %d: %s" % (gpu["index"], (ran.stdout + ran.stderr).strip()))


def program(pid):
    """What a process calls itself, in characters that one can see; None where it is gone."""
    try:
        with open("%s/%s/cmdline" % (PROC, pid), "rb") as file:
            name = os.path.basename(file.read().split(b"\0")[0].decode("utf-8", "replace"))
    except OSError:
        return None
    return "".join(char if char.isprintable() else "?" for char in name) or "?"


def processes(uuids):
    """Who has a GPU's device open. Seen from the host, containers' processes are among them."""
    minors = {}
    for name in glob.glob(PROC + "/driver/nvidia/gpus/*/information"):
        with open(name, encoding="utf-8") as file:
            told = dict(line.split(":", 1) for line in file if ":" in line)
        minors[told.get("Device Minor", "").strip()] = told.get("GPU UUID", "").strip()
    holders = {}
    for link in glob.glob(PROC + "/[0-9]*/fd/*"):
        try:
            match = re.fullmatch(r"/dev/nvidia(\d+)", os.readlink(link))
        except OSError:
            continue
        # A device that no table names may be any GPU's.
        if not match or minors.get(match.group(1), uuids[0]) not in uuids:
            continue
        pid = link.split("/")[-3]
        name = program(pid)
        if name is not None and name not in KEEPERS:
            holders[pid] = name
    # Not the names: whoever chooses one could write lines of this list with it.
    told = run("nvidia-smi", "--query-compute-apps=gpu_uuid,pid", "--format=csv,noheader", check=False)
    for line in told.stdout.splitlines():
        match = re.fullmatch(r"\s*([A-Za-z0-9/-]+)\s*,\s*([0-9]+)\s*", line)
        if match and (match.group(1) in uuids or match.group(1).startswith("MIG-")):
            holders.setdefault(match.group(2), program(match.group(2)) or "?")
    return ["process %s (%s)" % item for item in sorted(holders.items(), key=lambda item: int(item[0]))]


def containers(chosen):
    """Running containers that were given one of the GPUs, whether they use it now or not."""
    ids = run("docker", "ps", "-q", "--no-trunc").stdout.split()
    if not ids:
        return []
    parents, gpu = {}, None
    for line in run("nvidia-smi", "-L").stdout.splitlines():
        match = re.search(r"UUID: ((?:GPU|MIG)-[0-9A-Za-z/-]+)", line)
        if match and line.startswith("GPU"):
            gpu = match.group(1)
        elif match:
            parents[match.group(1)] = gpu
    mine = {str(gpu["index"]) for gpu in chosen} | {gpu["uuid"] for gpu in chosen}

    def named(device):
        device = device.split("=")[-1]
        if device in ("all", "") or (device.startswith("MIG-") and device not in parents):
            return True
        return device in mine or device.split(":")[0] in mine or parents.get(device) in mine

    found = []
    for container in json.loads(run("docker", "inspect", *ids).stdout):
        host = container.get("HostConfig") or {}
        environment = dict(item.split("=", 1) for item in (container.get("Config") or {}).get("Env") or [] if "=" in item)
        devices = []
        for request in host.get("DeviceRequests") or []:
            capabilities = [name for group in request.get("Capabilities") or [] for name in group]
            if request.get("Driver") == "cdi":
                devices += [name for name in request.get("DeviceIDs") or [] if name.startswith("nvidia.com/")]
            elif request.get("Driver") == "nvidia" or "gpu" in capabilities:
                devices += request.get("DeviceIDs") or ["all"]
        for device in host.get("Devices") or []:
            if re.fullmatch(r"/dev/nvidia\d+", device.get("PathOnHost") or ""):
                devices.append("all")
        if host.get("Runtime") == "nvidia":
            visible = environment.get("NVIDIA_VISIBLE_DEVICES", "void")
            devices += [] if visible in ("", "void", "none") else visible.split(",")
        if any(named(device) for device in devices):
            found.append("container %s" % container.get("Name", "?").lstrip("/"))
    return sorted(found)


def grants(uuids):
    """Who has some of the GPUs in berthd's ledger: a container that was stopped keeps its own, a reservation waits."""
    if not os.path.lexists(BERTH):
        return []

    def silent(why):
        fail("a MIG layout is to change, and berthd, which knows who holds the GPUs, does not tell: %s. See why (systemctl "
             "status berthd; journalctl -u berthd), and run this again once \"berth declared show\" answers, or leave the layout "
             "as it was until then; nothing was changed" % " ".join(str(why).split())[:400])

    # A berth that is older than these words calls it pool, and says to others that there is no such command (2).
    for word in ("declared", "pool"):
        try:
            ran = subprocess.run([BERTH, word, "show", "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, universal_newlines=True, timeout=BERTH_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            silent(error)
        if ran.returncode != 2:
            break
    if ran.returncode != 0:
        silent("status %d: %s" % (ran.returncode, ran.stdout + ran.stderr))
    holders = []
    try:
        for grant in json.loads(ran.stdout)["grants"]:
            names = [unit["name"] for unit in grant["units"] if unit["gpu"] in uuids]
            if names and grant["state"] != "released":
                why = grant.get("key") or grant["purpose"]
                holders.append("%s holds %s (%s, %s, grant %s)"
                               % (grant["user"], ", ".join(names), why, grant["state"], grant["id"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        silent("its answer is not understood: %s" % ran.stdout)
    return sorted(holders)


def check(found, different):
    """Refuses while anybody has one of the GPUs that the change concerns."""
    switched = [gpu for gpu, instances in different if (gpu["mode"] == "Enabled") != bool(instances)]
    concerned = found if switched else [gpu for gpu, _ in different]
    uuids = [gpu["uuid"] for gpu in concerned]
    users, held = containers(concerned) + processes(uuids), grants(uuids)
    reasons, mend = [], []
    if users:
        reasons.append("in use are: %s" % "; ".join(users))
        mend.append("end them")
    if held:
        reasons.append("in berthd's ledger %s" % "; ".join(held))
        mend.append("take these grants out of the stack (users[].gpu, nodes[].ray.gpu) or release them (berth gpu release ID)")
    if reasons:
        fail("the MIG layout of GPU %s is to change%s, and %s. To mend: %s, and run this again; nothing was changed"
             % (", ".join(str(gpu["index"]) for gpu, _ in different),
                ", which resets all GPUs" if switched else "", ", and ".join(reasons), ", ".join(mend)))


def locked():
    """The lock; the kernel lets go of it when the last program that has it ends, in whatever way."""
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            # berthd has it for a moment at a time.
            if time.monotonic() > end:
                fail("%s is locked by another program that divides GPUs, for %d s now; see who (fuser -v %s). Nothing was changed"
                     % (LOCK, LOCK_SECONDS, LOCK))
            time.sleep(0.05)


def apply(request, boot, lock=None):
    text = content(request)
    if boot and text is None:
        # No layout was taken up on this node yet.
        return 0
    found = gpus()
    planned = plan(found, json.loads(text))
    path = CONFIG if boot else request + ".yaml"
    write(path, config(planned))
    different = [(gpu, instances) for gpu, instances in planned if not applied(gpu, path)]
    if different and lock is None:
        # Another may have divided them meanwhile, so all of it is looked at again.
        return apply(request, boot, locked())
    waiting = [gpu for gpu, _ in different if gpu["pending"] != gpu["mode"]]

    def adopt():
        """From now on this is what a start of the machine does."""
        write(CONFIG, config(planned))
        if not boot and write(REQUEST, text):
            print("changed %s" % REQUEST)

    # What waits for the next start was checked before it did.
    if different and not boot and not (waiting and content(REQUEST) == text):
        check(found, different)
    if not different or (waiting and not boot):
        adopt()
    if not different:
        return 0
    if waiting and not boot:
        print("MIG mode of GPU %s changes at the next start" % ", ".join(str(gpu["index"]) for gpu in waiting))
        return 3
    for gpu, instances in different:
        label = "gpu-%d" % gpu["index"]
        # For berthd: what it read before is old. The tool has the lock too: it may outlive this program.
        os.utime(lock)
        ran = run("nvidia-mig-parted", "apply", "-f", path, "-c", label, check=False, keep=(lock,))
        os.utime(lock)
        print((ran.stdout + ran.stderr).strip())
        if ran.returncode == 0 and applied(gpu, path):
            adopt()
            told = ", ".join("%d x %s" % (count, profile) for profile, count in sorted(instances.items()))
            print("changed MIG of GPU %d: %s" % (gpu["index"], told or "off"))
            continue
        now = [other for other in gpus() if other["uuid"] == gpu["uuid"]]
        if now and now[0]["pending"] != now[0]["mode"]:
            adopt()
            print("MIG mode of GPU %d changes at the next start" % gpu["index"])
            return 3
        fail("nvidia-mig-parted could not divide GPU %d (status %d). Other programs may hold it (DCGM: systemctl stop nvidia-dcgm)"
             % (gpu["index"], ran.returncode))
    return 0


if __name__ == "__main__":
    how = sys.argv[1:]
    if how == ["apply", "--boot"]:
        sys.exit(apply(REQUEST, True))
    if len(how) != 2 or how[0] not in ("apply", "needed"):
        fail("usage: mig apply FILE | mig apply --boot | mig needed FILE")
    if how[0] == "needed":
        sys.exit(0 if plan(gpus(), json.loads(content(how[1]))) else 4)
    sys.exit(apply(how[1], False))
