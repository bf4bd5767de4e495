# `FILE true`: the same with live-restore on. `FILE reload-true`, `FILE reload-false`: for a reload alone, without
# `userland-proxy`, which no reload applies, and with which dockerd refuses one ("userland-proxy is enabled, but
# userland-proxy-path is not set": it knows the path only at its start). `FILE FILE`: do two files say the same but for
# live-restore? `FILE live`: is it on?
# ---
data, how = load(sys.argv[1]), sys.argv[2]
if how == "live":
    sys.exit(0 if data.get("live-restore") is True else 1)
if how in ("true", "reload-true", "reload-false"):
    data["live-restore"] = how.endswith("true")
    if how.startswith("reload"):
        data.pop("userland-proxy", None)
    json.dump(data, sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")
else:
    other = load(how)
    for one in (data, other):
        one.pop("live-restore", None)
    sys.exit(0 if data == other else 1)
