# shellcheck shell=bash
# ---
# clone.sh URL PATH BRANCH: a clone that is there belongs to its user and is left as it is.
url=$1 path=$(resolve "$2") branch=$3
if [ -e "$path/.git" ]; then
  if same_origin "$path" "$url"; then
    result unchanged
  else
    result unchanged "kept: what is there has another origin"
  fi
  exit 0
fi
clone "$url" "$path" "$branch"
result changed
