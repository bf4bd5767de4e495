# shellcheck shell=bash
# All but the firewall's, which stands until the end. What berthd left in /run and in its state goes with the rest of
# it, see leave-last.sh. berthd, which would make its slices again, was stopped with the containers.
# agent/src/inventory/fake.ts writes the line by which a stand-in for nvidia-smi is known.
# ---
for file in /etc/systemd/system/berth*; do
  [ -e "$file" ] || continue
  unit=${file##*/}
  if [ "$unit" = berth-firewall.service ]; then continue; fi
  case $unit in
    *.d) rm -rf -- "$file" ;;
    *)
      systemctl disable -q --now "$unit" || true
      unplace "$file" units
      ;;
  esac
done
# Added to the units of others.
for file in /etc/systemd/system/*.d/berth.conf; do
  unplace "$file" units
  rmdir --ignore-fail-on-non-empty -- "$(dirname -- "$file")" 2>/dev/null || true
done
for file in /etc/systemd/system/docker.service.wants/berth*.slice; do unplace "$file" units; done
rmdir --ignore-fail-on-non-empty -- /etc/systemd/system/docker.service.wants 2>/dev/null || true
if pending units; then
  systemctl daemon-reload
  settled units
fi
unplace /etc/tmpfiles.d/berth-agent.conf
unplace /etc/cdi/berth-declared.json
if grep -q -s -F -e 'Written by Berth: stands in for nvidia-smi' /usr/local/bin/nvidia-smi; then unplace /usr/local/bin/nvidia-smi; fi
for file in /etc/profile.d/berth-*.sh; do unplace "$file"; done
for file in /usr/local/bin/* /usr/local/share/bash-completion/completions/* /usr/local/share/zsh/site-functions/*; do
  case $(readlink -- "$file" || true) in /usr/local/lib/berth/*) unplace "$file" ;; esac
done
