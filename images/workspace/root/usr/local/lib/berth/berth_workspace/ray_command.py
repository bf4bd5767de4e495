"""`ray` of a workspace: Ray's own command, with the address that each of its commands understands.

RAY_ADDRESS is `ray://…`, by which ray.init() goes through Ray Client: a workspace is no node of the cluster. `ray job`,
`ray list`, `ray summary` and `ray logs` take RAY_API_SERVER_ADDRESS, `serve` takes RAY_DASHBOARD_ADDRESS. The commands
below know RAY_ADDRESS alone, and only as HOST:PORT (canonicalize_bootstrap_address_or_die, ray/scripts/scripts.py 2.60).
"""

import os
import sys

# Ask the cluster's GCS, from anywhere.
ASK_THE_GCS = frozenset(("drain-node", "health-check", "memory", "status"))
# Join the cluster by ray.init(HOST:PORT), for which a Ray node has to run beside them.
ON_A_NODE = frozenset(("debug", "global-gc", "kill-actor", "timeline"))

# Options of `ray` itself that have a value.
VALUED = frozenset(("--logging-level", "--logging-format"))


def command_of(words):
    """The command among `ray`'s words, "" where there is none."""
    rest = iter(words)
    for word in rest:
        if word in VALUED:
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return ""


def choose(words, env):
    """What to run `ray WORDS` with: ({variable: value}, what to say in place of running it, or None)."""
    command = command_of(words)
    asked_otherwise = any(word in ("--help", "-h") or word.split("=")[0] == "--address" for word in words)
    if asked_otherwise or not env.get("RAY_ADDRESS", "").startswith("ray://"):
        return {}, None
    if command in ASK_THE_GCS and env.get("BERTH_RAY_GCS"):
        return {"RAY_ADDRESS": env["BERTH_RAY_GCS"]}, None
    if command in ON_A_NODE:
        return {}, (
            f"ray {command} works on a node of the cluster alone, and a workspace is none.\n"
            f"Run it there, as a job: ray job submit -- ray {' '.join(words)}"
        )
    return {}, None


def main():
    more, refusal = choose(sys.argv[1:], os.environ)
    if refusal:
        print(refusal, file=sys.stderr)
        return 2
    os.environ.update(more)
    from ray.scripts.scripts import main as ray

    return ray()
