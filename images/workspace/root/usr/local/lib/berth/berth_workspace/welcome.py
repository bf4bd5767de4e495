"""What a person reads when they sign in: /etc/motd. Pure; nothing in it is secret."""

MIB = 2**20
GIB = 2**30

# What a browser opens, by its key in workspace.json.
SERVICES = {"code": "VS Code", "jupyter": "JupyterLab", "tensorboard": "TensorBoard"}


def room(count):
    """Bytes as people write them: 3 GiB, 1.5 GiB, 256 MiB."""
    unit, name = (GIB, "GiB") if count >= GIB else (MIB, "MiB")
    return f"{round(count / unit, 1):g} {name}"


def motd(settings):
    """The text of /etc/motd for these settings."""
    where = f" on {settings.node}" if settings.node else ""
    lines = [f"Berth: the workspace of {settings.user}{where}", ""]

    def tell(head, *texts):
        for i, text in enumerate(texts):
            lines.append(f"  {head if i == 0 else '':10}{text}")

    resources = settings.resources
    if resources:
        tell(
            "Limits",
            f"{resources['cpus']:g} CPUs, {room(resources['memoryBytes'])} of memory, {resources['pids']} processes,"
            f" {room(resources['shmBytes'])} in /dev/shm",
        )
    files = [
        f"{settings.home} is yours and stays; /workspace is yours, fast, and on this node alone",
        f"/shared is for all to read; your TensorBoard logs go to /shared/tensorboard/{settings.user}",
    ]
    if settings.sudo:
        files.append("what sudo apt install brings is gone when the workspace is made anew")
    tell("Files", *files)
    opens = [f"{SERVICES[key]:<12} {url}" for key, url in settings.urls.items()]
    if settings.tunnel:
        opens.append("they open on your own computer while this runs there:")
    tell("Browser", *opens)
    if settings.tunnel:
        # One line, and nothing before it but blanks: people copy it.
        lines.append(f"  {settings.tunnel}")
    if settings.ray:
        tell(
            "Ray",
            "ray.init() in Python; ray status; ray job submit --working-dir . -- python train.py",
            "Ray is one room: everybody who has its token runs code there as the same account, reads what your",
            "tasks and jobs hold and the files that you submit, and can stop them. Give Ray no password and no",
            "data that the others must not see.",
        )
    else:
        tell("Ray", "the cluster's is not given to this workspace; ray.init() starts one that runs in here alone")
    tell("GPUs", "berth gpu status: what you hold, what is free; berth limits show: what you may have")
    restart = "sudo supervisorctl status, sudo supervisorctl restart jupyter; " if settings.sudo else ""
    tell("Help", f"{restart}berth --help; else ask who runs this cluster")
    return "\n".join(["", *lines, "", ""])
