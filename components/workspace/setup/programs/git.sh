# shellcheck shell=bash
# ---
# git.sh KEY VALUE...: as root. The container's own defaults (/etc), so that a person's ~/.gitconfig, be it typed or
# from dotfiles, is never touched and always wins.
file=/etc/berth/gitconfig
included() { git config --system --get-all include.path 2>/dev/null | grep -Fxq -- "$file"; }

if [ "$#" -eq 0 ]; then
  if [ ! -e "$file" ]; then
    result unchanged
    exit 0
  fi
  if included; then git config --system --unset-all include.path "^${file//./\\.}\$"; fi
  rm -f -- "$file"
  result changed
  exit 0
fi
if ! command -v git >/dev/null; then fail "git is not in this workspace's image"; fi
install -d -m 0755 -- /etc/berth
new=$(mktemp -- /etc/berth/.gitconfig-XXXXXX)
trap 'rm -f -- "$new" "$new.lock"' EXIT
while [ "$#" -gt 0 ]; do
  git config --file "$new" --add -- "$1" "$2"
  shift 2
done
chmod 0644 -- "$new"
word=unchanged
if ! cmp -s -- "$new" "$file"; then
  mv -f -T -- "$new" "$file"
  word=changed
fi
if ! included; then
  git config --system --add include.path "$file"
  word=changed
fi
result "$word"
