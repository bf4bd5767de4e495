# The daemon.json given, without what a reload refuses. Ends with 1 where there is none of it.
# ---
data = load(sys.argv[1])
gone = [data.pop(key) for key in ("userland-proxy", "firewall-backend") if key in data]
if not gone: sys.exit(1)
json.dump(data, sys.stdout, indent=2, sort_keys=True)
