"""Asks Ray's control service, inside the head's Ray container, and tells it to drain a node.

    python3 - state                      prints what is there and what runs
    python3 - drain NODE_ID MESSAGE MS   no new work for the node; MS: when it goes, in ms since 1970

Prints one line of JSON. The container's environment says where the control service is and what the token's file is.
"""

import json
import os
import sys
import urllib.request

# Seconds for one question; a control service on the same node answers in milliseconds.
PATIENCE = 10
# More tasks than anybody would read; the API's own default is 100.
MOST = 1000


def client():
    from ray._raylet import GcsClient

    return GcsClient(address=os.environ["BERTH_RAY_HEAD"])


def nodes(gcs):
    """Every node that Ray knows, also dead ones: {id, address, state, activity}."""
    from ray.autoscaler.v2.sdk import get_cluster_resource_state
    from ray.core.generated import autoscaler_pb2

    return [
        {
            "id": node.node_id.hex(),
            "address": node.node_ip_address,
            # RUNNING, IDLE, DRAINING or DEAD.
            "state": autoscaler_pb2.NodeStatus.Name(node.status),
            # Why it is not idle, in Ray's own words.
            "activity": list(node.node_activity),
        }
        for node in get_cluster_resource_state(gcs).node_states
    ]


def dashboard():
    port = json.loads(os.environ["BERTH_RAY_PORTS"])["dashboard"]
    return f"http://{os.environ['BERTH_RAY_DASHBOARD_HOST']}:{port}"


def shown():
    """Ids of the nodes that the dashboard, which hears of them a little later, shows as alive."""
    with open(os.environ["RAY_AUTH_TOKEN_PATH"], encoding="utf8") as file:
        headers = {"Authorization": f"Bearer {file.read().strip()}"}
    request = urllib.request.Request(f"{dashboard()}/nodes?view=summary", headers=headers)
    # Never through a proxy: this is the cluster's own address.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE) as answer:
            found = json.load(answer)["data"]["summary"]
    except (OSError, ValueError, KeyError) as error:
        print(f"{request.full_url}: {error}", file=sys.stderr)
        return []
    raylets = [node.get("raylet", {}) for node in found]
    return [raylet.get("nodeId") for raylet in raylets if raylet.get("state") == "ALIVE"]


def work():
    """Running tasks and living actors: {node, name}. None when the dashboard, which counts them, does not answer."""
    from ray.util.state import list_actors, list_tasks
    from ray.util.state.exception import RayStateApiException

    address = dashboard()
    more = {"address": address, "limit": MOST, "timeout": PATIENCE, "detail": True, "raise_on_missing_output": False}
    try:
        tasks = list_tasks(filters=[("state", "=", "RUNNING")], **more)
        actors = list_actors(filters=[("state", "=", "ALIVE")], **more)
    except (RayStateApiException, OSError) as error:
        print(f"the dashboard at {address} does not say what runs: {error}", file=sys.stderr)
        return None
    # A method that runs on an actor is told by its actor.
    return [{"node": task.node_id, "name": task.name} for task in tasks if task.type != "ACTOR_TASK"] + [
        {"node": actor.node_id, "name": f"actor {actor.class_name}"} for actor in actors
    ]


def drain(gcs, node, message, deadline_ms):
    """Tells Ray that a node goes: always accepted for this reason; a node that is dead already is no error."""
    from ray.core.generated import autoscaler_pb2

    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted, why = gcs.drain_node(node, reason, message, deadline_ms, timeout=PATIENCE)
    return {"accepted": accepted, "why": why}


def main(argv):
    gcs = client()
    if argv[:1] == ["drain"]:
        print(json.dumps(drain(gcs, argv[1], argv[2], int(argv[3]))))
    else:
        print(json.dumps({"nodes": nodes(gcs), "shown": shown(), "work": work()}))


if __name__ == "__main__":
    main(sys.argv[1:])
