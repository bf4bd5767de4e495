#!/bin/sh
# Run once at build, after the files are in place.
set -eu
# pam_loginuid writes the audit id, for which a container has no right; it is no reason to refuse a login.
sed -i 's/^\(session\s\+\)required\(\s\+pam_loginuid.so\)/\1optional\2/' /etc/pam.d/sshd
grep -q 'optional.*pam_loginuid' /etc/pam.d/sshd
# `supervisorctl status` finds the file without an option.
ln -sf /etc/berth/services/supervisord.conf /etc/supervisor/supervisord.conf
# The supervisor and nginx are this container's own business, not the distribution's.
rm -rf /etc/nginx/sites-enabled/* /var/log/nginx/* /etc/supervisor/conf.d
# The node's own: the agent's folder is mounted there. Without a mount there is no such command.
agent=/usr/local/lib/berth/agent/current
install -d -m 0755 /usr/local/share/bash-completion/completions /usr/local/share/zsh/site-functions
ln -s "$agent/bin/berth" /usr/local/bin/berth
ln -s "$agent/completion/berth.bash" /usr/local/share/bash-completion/completions/berth
ln -s "$agent/completion/_berth" /usr/local/share/zsh/site-functions/_berth
# Ray's own command takes RAY_ADDRESS for what a workspace has not: see berth_workspace/ray_command.py.
install -m 0755 /usr/local/lib/berth/ray /opt/venv/bin/ray
# What people read when they sign in is Berth's, not the distribution's.
rm -f /etc/update-motd.d/* /etc/motd
git lfs install --system --skip-repo
# Packages that a person adds with pip go to their home; the image's own cannot be written anyway.
printf '[global]\ndisable-pip-version-check = true\n[install]\nuser = true\n' > /opt/venv/pip.conf
install -d -m 0755 /workspace /shared /shared/tensorboard /var/lib/state /etc/berth/services /var/log/berth
/opt/venv/bin/python3 -m compileall -q /usr/local/lib/berth
# What the image promises, at the versions that it promises.
for program in sshd supervisord sudo git git-lfs tmux vim nano htop curl wget rsync zip unzip 7z nginx uv chezmoi node npm \
  jupyter tensorboard ray gcc make berth-services; do
  PATH=/opt/venv/bin:/opt/node/bin:$PATH command -v "$program" > /dev/null || { echo "finish.sh: no $program" >&2; exit 1; }
done
chezmoi --version
