/**
 * What divides a node's GPUs, on the node: /usr/local/lib/berth/mig, run by the runtime stage and at every start.
 *
 * It turns the request (/etc/berth/mig.json) into a file for nvidia-mig-parted (/etc/berth/mig.yaml), since only the
 * node knows which index a UUID has now and how many instances "all-…" are on its model. A GPU whose layout differs is
 * changed, by itself, when nothing uses it: neither a process nor a container that was given one of its devices. A
 * change of MIG mode resets all GPUs (mig-parted, ResetAllGPUs), so then none may be in use.
 *
 * Ends with 0 (as asked; a line "changed …" for each GPU changed), 3 (as asked after the next start of the machine)
 * or 1 with the reason on standard error.
 */
export const MIG_PROGRAM = String.raw`#!/usr/bin/python3 -u
"""Divides the GPUs of this node as /etc/berth/mig.json says. Written by Berth: a change here is lost."""
import glob, json, os, re, subprocess, sys

REQUEST, CONFIG = "/etc/berth/mig.json", "/etc/berth/mig.yaml"
PROC = "/proc"
# These hold a GPU without working on it.
KEEPERS = {"nvidia-persistenced", "nv-fabricmanager", "nvidia-smi"}


def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)


def run(*command, check=True):
    try:
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=400)
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


def profiles(gpu):
    """What the driver offers on a GPU: name and how many of it."""
    text = run("nvidia-smi", "mig", "-lgip", "-i", str(gpu["index"])).stdout
    row = re.compile(r"^\|\s+%d\s+MIG\s+(\S+)\s+\d+\s+\d+/(\d+)\s" % gpu["index"], re.M)
    return {name: int(total) for name, total in row.findall(text)}


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
    return {profile: offered[profile] if count is None else count for profile, count in wanted.items()}


def plan(found):
    with open(REQUEST, encoding="utf-8") as file:
        entries = json.load(file)
    result = {}
    for entry in entries:
        which = entry["gpu"]
        if which == "all":
            chosen = [gpu for gpu in found if capable(gpu)]
            if not chosen:
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
    lines += ["  berth:"] + [line for item in planned for line in one(*item)]
    return "\n".join(lines) + "\n"


def write(path, text):
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return
    except FileNotFoundError:
        pass
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(path + ".new", 0o644)
    os.rename(path + ".new", path)


def applied(gpu):
    ran = run("nvidia-mig-parted", "assert", "-f", CONFIG, "-c", "gpu-%d" % gpu["index"], check=False)
    if ran.returncode == 0:
        return True
    if "not currently applied" in ran.stdout + ran.stderr:
        return False
    fail("nvidia-mig-parted could not look at GPU %d: %s" % (gpu["index"], (ran.stdout + ran.stderr).strip()))


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
        try:
            with open("%s/%s/cmdline" % (PROC, pid), "rb") as file:
                name = os.path.basename(file.read().split(b"\0")[0].decode("utf-8", "replace")) or "?"
        except OSError:
            continue
        if name not in KEEPERS:
            holders[pid] = name
    told = run("nvidia-smi", "--query-compute-apps=gpu_uuid,pid,process_name", "--format=csv,noheader", check=False)
    for line in told.stdout.splitlines():
        cells = [cell.strip() for cell in line.split(",", 2)]
        if len(cells) == 3 and (cells[0] in uuids or cells[0].startswith("MIG-")):
            holders.setdefault(cells[1], os.path.basename(cells[2]))
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


def apply(boot):
    found = gpus()
    planned = plan(found)
    write(CONFIG, config(planned))
    different = [(gpu, instances) for gpu, instances in planned if not applied(gpu)]
    if not different:
        return 0
    waiting = [gpu for gpu, _ in different if gpu["pending"] != gpu["mode"]]
    if waiting and not boot:
        print("MIG mode of GPU %s changes at the next start" % ", ".join(str(gpu["index"]) for gpu in waiting))
        return 3
    if not boot:
        switched = [gpu for gpu, instances in different if (gpu["mode"] == "Enabled") != bool(instances)]
        concerned = found if switched else [gpu for gpu, _ in different]
        holders = containers(concerned) + processes([gpu["uuid"] for gpu in concerned])
        if holders:
            fail("the MIG layout of GPU %s is to change%s, and in use are: %s. End them and run this again; nothing was changed"
                 % (", ".join(str(gpu["index"]) for gpu, _ in different),
                    ", which resets all GPUs" if switched else "", "; ".join(holders)))
    for gpu, instances in different:
        label = "gpu-%d" % gpu["index"]
        ran = run("nvidia-mig-parted", "apply", "-f", CONFIG, "-c", label, check=False)
        print((ran.stdout + ran.stderr).strip())
        if ran.returncode == 0 and applied(gpu):
            told = ", ".join("%d x %s" % (count, profile) for profile, count in sorted(instances.items()))
            print("changed MIG of GPU %d: %s" % (gpu["index"], told or "off"))
            continue
        now = [other for other in gpus() if other["uuid"] == gpu["uuid"]]
        if now and now[0]["pending"] != now[0]["mode"]:
            print("MIG mode of GPU %d changes at the next start" % gpu["index"])
            return 3
        fail("nvidia-mig-parted could not divide GPU %d (status %d). Other programs may hold it (DCGM: systemctl stop nvidia-dcgm)"
             % (gpu["index"], ran.returncode))
    return 0


if __name__ == "__main__":
    if sys.argv[1:] not in (["apply"], ["apply", "--boot"]):
        fail("usage: mig apply [--boot]")
    sys.exit(apply("--boot" in sys.argv))
`;
