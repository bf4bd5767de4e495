# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $folder $container $generation_name $uid $generation
# Needs a prologue that sets folder, container, uid, generation, and generation_name (its variable in the container).
# ---
install -d -m 0711 -- "$folder"
umask 077
there=no
temporary=$(mktemp -- "$folder/.new-XXXXXX")
secret token >"$temporary"
if ! cmp -s -- "$temporary" "$folder/token"; then
  was=
  if docker container inspect "$container" >/dev/null 2>&1; then
    was=$(docker container inspect -f '{{range .Config.Env}}{{println .}}{{end}}' "$container" | sed -n "s/^$generation_name=//p")
    docker container stop -t 20 "$container" >/dev/null
    there=yes
  fi
  chown "$uid:$uid" -- "$temporary"
  chmod 0400 -- "$temporary"
  sync -- "$temporary"
  mv -f -T -- "$temporary" "$folder/token"
  changed "$folder/token"
  if [ "$there" = yes ] && [ "$was" = "$generation" ]; then docker container start "$container" >/dev/null; fi
fi
rm -f -- "$temporary"
