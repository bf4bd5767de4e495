# shellcheck shell=bash
# ---
# dotfiles.sh URL BRANCH CREDENTIALS: chezmoi. CREDENTIALS (yes or no) says whether ~/.env is Berth's to write.
url=$1 branch=$2 credentials=$3
if ! command -v chezmoi >/dev/null; then fail "chezmoi is not in this workspace's image"; fi
chez() { chezmoi --no-tty --no-pager --color=false "$@"; }

source=$(chez execute-template '{{ .chezmoi.workingTree }}' </dev/null)
moved='' kept=''
if [ ! -e "$source/.git" ]; then
  clone "$url" "$source" "$branch"
  chez init </dev/null
  moved=yes
elif ! same_origin "$source" "$url"; then
  fail "$source is a clone of another repository: move it away, or let the configuration name that one"
else
  git -C "$source" fetch --quiet origin
  if [ -n "$branch" ]; then
    upstream=origin/$branch
  else
    upstream=$(git -C "$source" rev-parse --abbrev-ref '@{upstream}')
  fi
  if ! git -C "$source" rev-parse --quiet --verify "$upstream^{commit}" >/dev/null; then
    fail "the dotfiles have no branch ${upstream#origin/}"
  fi
  if [ -n "$(git -C "$source" status --porcelain)" ] ||
    [ "$(git -C "$source" rev-list --count HEAD --not --remotes=origin)" -gt 0 ]; then
    kept=' changes of your own in the dotfiles repository'
  else
    before=$(git -C "$source" rev-parse HEAD)
    if [ "$(git -C "$source" symbolic-ref --quiet --short HEAD || true)" != "${upstream#origin/}" ]; then
      git -C "$source" switch --quiet "${upstream#origin/}"
    fi
    git -C "$source" merge --quiet --ff-only "$upstream"
    if [ "$(git -C "$source" rev-parse HEAD)" != "$before" ]; then moved=yes; fi
  fi
fi

if [ "$credentials" = yes ] && chez source-path "$HOME/.env" >/dev/null 2>&1; then
  fail "the dotfiles hold .env, where the credentials are: take it out of them (chezmoi forget ~/.env), or the credentials out of the configuration"
fi

# First column: edited since chezmoi wrote it. Second column: what apply would do.
status=$(chez status --exclude=always --path-style=absolute </dev/null)
originals=$HOME/.local/state/berth/dotfiles-before
while IFS= read -r line; do
  if [ -z "$line" ]; then continue; fi
  path=${line:3}
  case ${line:0:2} in
    ?" ") ;;
    " "?)
      moved=yes
      # What chezmoi is about to replace for the first time may be the person's own.
      case ${line:1:1} in
        M | D)
          if [ -f "$path" ] || [ -L "$path" ]; then
            (umask 077 && mkdir -p -- "$originals/$(dirname -- "${path#"$HOME"/}")")
            if [ ! -e "$originals/${path#"$HOME"/}" ]; then cp -a -- "$path" "$originals/${path#"$HOME"/}"; fi
          fi
          ;;
      esac
      ;;
    *) kept="$kept ${path#"$HOME"/}" ;;
  esac
done <<<"$status"

# chezmoi asks about each file that was edited since it wrote it; the answer is always to leave it.
chez apply < <(exec yes skip)
if [ -n "$moved" ]; then word=changed; else word=unchanged; fi
result "$word${kept:+ kept:$kept}"
