#!/usr/bin/env python3
"""The rival of the ledger's measurement: GPUs granted by a command that locks a file of JSON.

    ledger_flock.py FOLDER allocate USER CONTAINER MAX_GPUS PRIORITY
    ledger_flock.py FOLDER release CONTAINER
    ledger_flock.py FOLDER status
    ledger_flock.py FOLDER loop USER SECONDS      allocate and release, over and over, in one process

FOLDER holds resource-limits.yaml (or .json where PyYAML is missing), gpu-state.json and its lock. A call reads the
limits, takes the lock, reads the state, checks the user's limits, takes the least allocated GPU's first free instance,
writes the state beside the old one, fsyncs it, renames it, and lets the lock go. Exit code 1: refused.
"""

import fcntl
import json
import os
import sys
import time


def read_limits(folder):
    path = os.path.join(folder, "resource-limits.yaml")
    try:
        import yaml
    except ImportError:
        with open(os.path.join(folder, "resource-limits.json"), encoding="utf-8") as file:
            return json.load(file)
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


def limits_of(document, user):
    """user_overrides before groups before defaults; of several groups, the one of the highest priority."""
    found = dict(document.get("defaults") or {})
    groups = [group for group in (document.get("groups") or {}).values() if user in (group.get("members") or [])]
    for group in sorted(groups, key=lambda one: one.get("priority", 0)):
        found.update(group)
    found.update((document.get("user_overrides") or {}).get(user) or {})
    return found


class State:
    """The state under its lock, for the length of a `with`."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "gpu-state.json")
        self.lock_path = os.path.join(folder, "gpu-state.lock")

    def __enter__(self):
        self.lock = open(self.lock_path, "a", encoding="utf-8")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        with open(self.path, encoding="utf-8") as file:
            self.state = json.load(file)
        return self

    def __exit__(self, *_):
        self.lock.close()

    def save(self):
        beside = f"{self.path}.{os.getpid()}"
        with open(beside, "w", encoding="utf-8") as file:
            json.dump(self.state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.path)


def allocate(folder, limits, user, container, max_gpus, priority):
    with State(folder) as held:
        grants = held.state["containers"]
        if container in grants:
            return grants[container]["unit"]
        mine = sum(1 for grant in grants.values() if grant["user"] == user)
        most = limits.get("max_mig_instances")
        if most is not None and mine >= min(most, max_gpus):
            return None
        taken = {grant["unit"] for grant in grants.values()}
        free = {
            gpu: [unit for unit in units if unit not in taken] for gpu, units in held.state["gpus"].items()
        }
        candidates = [gpu for gpu, units in free.items() if units]
        if not candidates:
            return None
        gpu = max(candidates, key=lambda one: (len(free[one]), one))
        unit = free[gpu][0]
        grants[container] = {"user": user, "unit": unit, "priority": priority, "since": time.time()}
        held.save()
        return unit


def release(folder, container):
    with State(folder) as held:
        if held.state["containers"].pop(container, None) is None:
            return False
        held.save()
        return True


def loop(folder, user, seconds):
    """Whatever a long-lived process may do once, it does once: Python's start and the limits are not measured."""
    limits = limits_of(read_limits(folder), user)
    took = []
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        container = f"{user}-{len(took)}"
        for call in (lambda: allocate(folder, limits, user, container, 8, 10), lambda: release(folder, container)):
            began = time.monotonic()
            if not call():
                raise SystemExit(f"refused: {container}")
            took.append(round((time.monotonic() - began) * 1000, 4))
    json.dump(took, sys.stdout)


def main(words):
    folder, command, *rest = words
    if command == "allocate":
        user, container, max_gpus, priority = rest
        limits = limits_of(read_limits(folder), user)
        unit = allocate(folder, limits, user, container, int(max_gpus), int(priority))
        print(unit or "no GPU is free within the limits")
        return 0 if unit else 1
    if command == "release":
        return 0 if release(folder, rest[0]) else 1
    if command == "status":
        with State(folder) as held:
            json.dump(held.state, sys.stdout, indent=2)
        return 0
    if command == "loop":
        loop(folder, rest[0], float(rest[1]))
        return 0
    raise SystemExit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
