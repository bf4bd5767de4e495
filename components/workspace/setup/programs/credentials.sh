# shellcheck shell=bash
# ---
# credentials.sh COUNT: standard input is COUNT lines `export NAME=VALUE`, which become Berth's block in ~/.env.
# The lines pass through bash's own read and printf only, so no value is ever an argument of a process.
umask 077
count=$1
file=$HOME/.env
begin='# >>> berth credentials >>>'
end='# <<< berth credentials <<<'

mapfile -t lines
if [ "${#lines[@]}" -ne "$count" ]; then
  fail "${#lines[@]} of $count credentials arrived on standard input; $file is as it was"
fi
if [ -L "$file" ]; then
  fail "$file is a symbolic link: secrets are written only to a regular file; put one in its place"
fi
if [ -e "$file" ] && { [ ! -f "$file" ] || [ ! -r "$file" ]; }; then
  fail "$file is no file that its user can read; move it away"
fi

block() {
  if [ "$count" -eq 0 ]; then return 0; fi
  printf '%s\n' "$begin" \
    "# Written by Berth: what stands between these two marks is replaced. Lines of your own around them stay." \
    "${lines[@]}" "$end"
}

# Prints the file with the block in its old place, or at the end.
merged() {
  local line inside='' written=''
  if [ -f "$file" ]; then
    while IFS= read -r line || [ -n "$line" ]; do
      if [ "$line" = "$begin" ]; then
        if [ -n "$inside" ]; then return 65; fi
        inside=yes
        if [ -z "$written" ]; then block; fi
        written=yes
      elif [ "$line" = "$end" ]; then
        if [ -z "$inside" ]; then return 65; fi
        inside=''
      elif [ -z "$inside" ]; then
        printf '%s\n' "$line"
      fi
    done <"$file"
  fi
  if [ -n "$inside" ]; then return 65; fi
  if [ -z "$written" ]; then block; fi
}

if [ "$count" -eq 0 ] && { [ ! -f "$file" ] || ! grep -Fxq -e "$begin" -e "$end" -- "$file"; }; then
  result unchanged
  exit 0
fi

new=$HOME/.env.berth-new
rm -f -- "$new"
trap 'rm -f -- "$new"' EXIT
set -o noclobber
if ! merged >"$new"; then
  fail "a mark of Berth's block in $file is missing or stands twice: delete the lines '$begin' and '$end', and what is between them"
fi
set +o noclobber
if [ ! -s "$new" ]; then
  rm -f -- "$file"
  result changed
elif [ -f "$file" ] && cmp -s -- "$new" "$file"; then
  if [ "$(stat -c %a -- "$file")" = 600 ] && [ -O "$file" ]; then
    result unchanged
  elif [ -O "$file" ]; then
    chmod 0600 -- "$file"
    result changed
  else
    mv -f -T -- "$new" "$file"
    result changed
  fi
else
  sync -- "$new"
  mv -f -T -- "$new" "$file"
  sync -- "$HOME"
  result changed
fi
