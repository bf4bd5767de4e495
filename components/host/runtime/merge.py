# Three-way merge: what we set last time and no longer set goes, what others set stays.
#
# Arguments: daemon.json, what we set last, `yes` for `features.cdi` (Docker 25 to 28 have CDI behind it, older ones
# have none). Ours on standard input; in the environment OURS (where ours is noted) and FIREWALL (the firewall
# backend to name, for the versions that know one).
# ---
import os
path, last, cdi = sys.argv[1], sys.argv[2], sys.argv[3] == "yes"
ours = json.load(sys.stdin)
if cdi:
    ours["features"] = {"cdi": True}
if os.environ.get("FIREWALL"):
    ours["firewall-backend"] = os.environ["FIREWALL"]
have = load(path)
before = load(last)
def merge(have, before, ours):
    result = dict(have)
    for key, old in before.items():
        if key in ours or key not in result:
            continue
        if isinstance(old, dict) and isinstance(result[key], dict):
            result[key] = merge(result[key], old, {})
            if not result[key]:
                del result[key]
        elif isinstance(old, list) and isinstance(result[key], list):
            result[key] = [item for item in result[key] if item not in old]
            if not result[key]:
                del result[key]
        elif result[key] == old:
            del result[key]
    for key, new in ours.items():
        old = before.get(key)
        now = result.get(key)
        if key == "log-opts":
            result[key] = new
        elif isinstance(new, dict) and isinstance(now, dict):
            result[key] = merge(now, old if isinstance(old, dict) else {}, new)
        elif key == "exec-opts" and isinstance(now, list):
            names = {item.split("=")[0] for item in new}
            result[key] = [item for item in now if str(item).split("=")[0] not in names] + new
        elif key == "insecure-registries":
            gone = old if isinstance(old, list) else []
            kept = [item for item in (now or []) if item not in gone and item not in new]
            result[key] = kept + new
        else:
            result[key] = new
    return result
json.dump(merge(have, before, ours), sys.stdout, indent=2, sort_keys=True)
sys.stdout.write("\n")
with open(os.environ["OURS"], "w", encoding="utf-8") as file:
    json.dump(ours, file, indent=2, sort_keys=True)
