# shellcheck shell=bash
# shellcheck disable=SC2154 # set before it: $name $folder $work $sudo $sudoers
# Needs a prologue that sets name, folder (of keys), sudoers (a file) and sudo (yes or no), and writes the keys to
# $work/operator-keys. sshd reads them as the person, so the file must be readable for all; public keys are public.
# ---
if ! getent passwd "$name" >/dev/null; then
  useradd --create-home --shell /bin/bash "$name"
  changed "user $name"
fi
if [ "$(id -u "$name")" -eq 0 ]; then fail "the operator's name $name is another name for root"; fi
install -d -m 0755 "$folder"
place 0644 "$folder/$name" <"$work/operator-keys"
if [ "$sudo" = yes ]; then
  printf '%s ALL=(ALL:ALL) NOPASSWD: ALL\n' "$name" >"$work/sudoers"
  visudo -c -q -f "$work/sudoers"
  place 0440 "$sudoers" <"$work/sudoers"
else
  unplace "$sudoers"
fi
