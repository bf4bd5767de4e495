# OLD NEW: do two files of dockerd's settings say the same but for what it takes over by a reload (moby,
# daemon/reload.go)?
# ---
import json, sys
def load(name):
    with open(name, encoding="utf-8-sig") as file:
        data = json.load(file)
    return {key: value for key, value in data.items() if key not in ["insecure-registries"]}
try:
    sys.exit(0 if load(sys.argv[1]) == load(sys.argv[2]) else 1)
except (OSError, ValueError, AttributeError):
    sys.exit(1)
