# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $programs $version $parcel $image
# A version's folder is whole when `.whole` is in it: all its files are on the disk then.
# ---
install -d -m 0755 -- /usr/local/lib/berth "$programs"
rm -rf -- "$programs"/.new-??????
if [ -e "$programs/$version/.whole" ]; then return 0; fi
# What a run that was cut left.
docker container rm -f "$parcel" >/dev/null 2>&1 || true
for try in 1 2 3; do
  if docker pull -q "$image"; then break; fi
  if [ "$try" = 3 ]; then fail "$image cannot be pulled"; fi
  sleep "$((try * 3))"
done
docker container create --name "$parcel" --network none --label berth.component=agent "$image"
new=$(mktemp -d -- "$programs/.new-XXXXXX")
docker container cp "$parcel:/agent/." "$new"
docker container rm "$parcel" >/dev/null
docker image rm "$image" >/dev/null
gzip -d -- "$new/node.gz"
chmod 0755 -- "$new/node"
chmod -R u=rwX,go=rX -- "$new"
found=$("$new/node" --version 2>&1) || fail "the Node.js of $image does not run here: $found"
: >"$new/.whole"
find "$new" -type f -exec sync -- {} +
rm -rf -- "${programs:?}/$version"
mv -T -- "$new" "$programs/$version"
sync -- "$programs"
changed "berthd $version"
