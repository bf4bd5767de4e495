# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $work
# `trusted_key URL FINGERPRINT KEYRING WHOSE`: only this key of the file ends up in the keyring, whatever else is in
# it. `apt_source PATTERN`: true when a source list names the repository already.
# `os KEY`: what the node's os-release says.
# ---
trusted_key() {
  local url=$1 fingerprint=$2 keyring=$3 whose=$4
  apt_install gnupg curl ca-certificates
  curl -fsSL --retry 3 --max-time 60 "$url" -o "$work/key.asc"
  export GNUPGHOME=$work/gnupg
  install -d -m 0700 "$GNUPGHOME"
  # The fingerprint behind each primary key; those of subkeys do not count.
  if ! grep -q -x "$fingerprint" <<<"$(gpg --batch --with-colons --show-keys "$work/key.asc" |
    awk -F : '$1 == "pub" { primary = 1 } $1 == "fpr" && primary { print $10; primary = 0 }')"; then
    fail "the key of $whose's package repository is not the known one, $fingerprint: nothing was installed. See $url"
  fi
  gpg --batch --quiet --import "$work/key.asc"
  gpg --batch --yes --output "$work/key.gpg" --export "$fingerprint"
  place 0644 "$keyring" <"$work/key.gpg"
}
apt_source() {
  # awk reads to the end, since a pipe closed early would fail the whole; grep fails for a list that is not there.
  { grep -r -s -h -E "$1" /etc/apt/sources.list /etc/apt/sources.list.d || true; } | awk '!/^ *#/ { found = 1 } END { exit !found }'
}
os() { sed -n "s/^$1=//p" /etc/os-release | tr -d "\"'"; }
