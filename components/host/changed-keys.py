# NEW OLD: the keys of the new file that are not in the old one, or say something else there.
# ---
new, old = (load(name) for name in sys.argv[1:3])
print(", ".join("%s (now %s)" % (key, json.dumps(old[key])) if key in old else key
                for key in sorted(set(old) | set(new)) if old.get(key) != new.get(key)))
