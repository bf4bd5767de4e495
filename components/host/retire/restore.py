# PATH-OF-MERGED BEFORE OURS: puts the operator's own values back where ours stood in their place.
# ---
merged, before, ours = (load(name) for name in sys.argv[1:4])
def back(merged, before, ours):
    for key, value in before.items():
        if key not in ours:
            continue
        if key not in merged:
            merged[key] = value
        elif isinstance(value, dict) and isinstance(merged[key], dict) and isinstance(ours[key], dict):
            back(merged[key], value, ours[key])
        elif key == "exec-opts" and isinstance(value, list):
            have = {str(item).split("=")[0]: item for item in merged[key]}
            kept = [have.pop(str(item).split("=")[0], item) for item in value]
            merged[key] = kept + list(have.values())
back(merged, before, ours)
if merged == before:
    with open(sys.argv[2], "rb") as file:
        sys.stdout.buffer.write(file.read())
elif merged:
    json.dump(merged, sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")
