"""Texts of the services' files, from the settings. Pure: nothing is read or written here."""

import json

LOGS = "/var/log/berth"
ETC = "/etc/berth/services"

# The container's own ports; the node publishes them on the person's block.
SSH, CODE, JUPYTER, TENSORBOARD, TENSORBOARD_BEHIND = 22, 8443, 8888, 6007, 6006

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# As on nodes: components/host/sshd.ts says what they take away and why. A test holds the two equal.
SSH_ALGORITHMS = """KexAlgorithms -ecdh-sha2-*,diffie-hellman-*
MACs -hmac-sha1*,umac-64*,umac-128@openssh.com,hmac-sha2-256,hmac-sha2-512
"""

# How often a service that ends at once is tried again before the supervisor gives up: with waits of 1, 2, 3 ... s
# between, about 80 minutes.
RETRIES = 100


def environment(settings):
    """The variables of everything that the person runs: shells, notebooks, terminals, services."""
    env = {
        "PATH": f"{settings.home}/.local/bin:/opt/venv/bin:/opt/node/bin:{SYSTEM_PATH}",
        "LANG": "C.UTF-8",
        "SSL_CERT_FILE": CA_BUNDLE,
        "REQUESTS_CA_BUNDLE": CA_BUNDLE,
        "PIP_CERT": CA_BUNDLE,
        "NODE_EXTRA_CA_CERTS": CA_BUNDLE,
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    if settings.ray:
        env["RAY_ADDRESS"] = settings.ray["client"]
        # `ray job`, the jobs SDK and `serve` speak HTTP and would not understand a ray:// address.
        env["RAY_API_SERVER_ADDRESS"] = env["RAY_DASHBOARD_ADDRESS"] = settings.ray["dashboard"]
        # For `ray status` and its like: see ray_command.py.
        env["BERTH_RAY_GCS"] = settings.ray["address"]
    if settings.secrets.get("rayToken"):
        env["RAY_AUTH_MODE"] = "token"
        env["RAY_AUTH_TOKEN_PATH"] = f"{settings.home}/.ray/auth_token"
    return env


def profile(settings):
    """/etc/profile.d/berth.sh: login shells, whose PATH /etc/profile has just reset."""
    lines = [f"export {name}={json.dumps(value)}" for name, value in environment(settings).items()]
    return "\n".join(["# Written by berth-apply.", *lines, ""])


def sshd(settings):
    """The drop-in for sshd_config."""
    pairs = " ".join(json.dumps(f"{name}={value}") for name, value in environment(settings).items())
    return f"""# Written by berth-apply.
Port {SSH}
HostKey /run/berth/ssh_host_ed25519_key
AllowUsers {settings.user}
PermitRootLogin no
PubkeyAuthentication yes
PasswordAuthentication yes
PermitEmptyPasswords no
KbdInteractiveAuthentication no
HostbasedAuthentication no
AuthorizedKeysFile /etc/ssh/authorized_keys/%u .ssh/authorized_keys
MaxAuthTries 4
LoginGraceTime 30
MaxStartups 20:30:60
# Callers through a published port may all have the node's address: a few wrong passwords of one of them must not
# shut the others out for long. Each costs PAM's own delay as well.
PerSourcePenalties authfail:2 noauth:0 grace-exceeded:10
X11Forwarding no
ClientAliveInterval 60
ClientAliveCountMax 5
{SSH_ALGORITHMS}# A session that no login shell sets up (ssh HOST COMMAND) needs them too.
SetEnv {pairs}
"""


def sudoers(settings):
    """Root in this container is as little of the node as the person already is."""
    return f"{settings.user} ALL=(ALL:ALL) NOPASSWD: ALL\n" if settings.sudo else ""


def code_server(settings, password_hash):
    """code-server's own settings; `password_hash` is argon2's encoded form.

    Workspace Trust is off: VS Code opens the home, and whoever trusts that trusts every folder below it. With it on,
    people begin in Restricted Mode, in which their own terminals, tasks and extensions do not work.
    """
    return f"""# Written by berth-apply.
bind-addr: 0.0.0.0:{CODE}
auth: password
hashed-password: {json.dumps(password_hash)}
cert: false
disable-telemetry: true
disable-update-check: true
disable-workspace-trust: true
i18n: {ETC}/code-server-texts.json
"""


def code_server_texts():
    """What code-server's sign-in page says; without it, that the password stands in a file, which nobody may read."""
    texts = {
        "LOGIN_TITLE": "VS Code",
        "WELCOME": "Your workspace",
        "LOGIN_PASSWORD": "The password is your VS Code password; whoever runs the cluster hands it out.",
    }
    return json.dumps(texts, indent=2) + "\n"


def jupyter(settings):
    """Jupyter's settings, with the token, which no command line and no environment shows."""
    return f"""# Written by berth-apply.
c = get_config()
c.IdentityProvider.token = {json.dumps(settings.secrets["jupyterToken"])}
c.ServerApp.ip = "0.0.0.0"
c.ServerApp.port = {JUPYTER}
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.root_dir = {json.dumps(settings.home)}
c.ServerApp.terminado_settings = {{"shell_command": [{json.dumps(settings.shell)}, "-l"]}}
c.LabApp.extension_manager = "readonly"
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.news_url = None
"""


def nginx(settings):
    """nginx in front of TensorBoard, which has no sign-in of its own."""
    return f"""# Written by berth-apply.
user www-data;
worker_processes 1;
pid /run/berth-nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  server_tokens off;
  client_body_temp_path /var/lib/nginx/body;
  # TensorBoard's pages ask for long lists of tags.
  large_client_header_buffers 4 32k;
  server {{
    listen {TENSORBOARD};
    auth_basic "TensorBoard of {settings.user}";
    auth_basic_user_file {ETC}/tensorboard.htpasswd;
    location / {{
      proxy_pass http://127.0.0.1:{TENSORBOARD_BEHIND};
      proxy_set_header Host $host:$server_port;
      # The password is for this door alone.
      proxy_set_header Authorization "";
      proxy_buffering off;
      proxy_read_timeout 300s;
    }}
  }}
}}
"""


def supervisor(settings):
    """The supervisor's file. Nothing in it is secret: the programs read that from files of their own."""
    quoted = ",".join(f'{name}="{value}"' for name, value in environment(settings).items())
    person = f'HOME="{settings.home}",USER="{settings.user}",LOGNAME="{settings.user}",SHELL="{settings.shell}",{quoted}'
    # -s: the person's own packages do not get into the services; kernels start without it and see them.
    programs = [
        ("sshd", "root", "/", "/usr/sbin/sshd -D -e", ""),
        (
            "code-server",
            settings.user,
            settings.home,
            f"/opt/node/bin/node /opt/code-server/node_modules/code-server/out/node/entry.js --config {ETC}/code-server.yaml {settings.home}",
            person,
        ),
        (
            "jupyter",
            settings.user,
            settings.home,
            f"/opt/venv/bin/python3 -s -m jupyterlab --config={ETC}/jupyter.py",
            person,
        ),
        (
            "tensorboard",
            settings.user,
            settings.home,
            "/opt/venv/bin/python3 -s -m tensorboard.main --host 127.0.0.1"
            f" --port {TENSORBOARD_BEHIND} --load_fast=false"
            f" --logdir_spec shared:/shared/tensorboard/{settings.user},home:{settings.home}/runs",
            person,
        ),
        ("nginx", "root", "/", f"/usr/sbin/nginx -c {ETC}/nginx.conf -g 'daemon off;'", ""),
    ]
    parts = [
        f"""; Written by berth-apply.
[supervisord]
nodaemon=true
user=root
logfile={LOGS}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile=/run/berth-supervisord.pid
childlogdir={LOGS}
umask=022

[unix_http_server]
file=/run/berth-supervisord.sock
chmod=0700

[supervisorctl]
serverurl=unix:///run/berth-supervisord.sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    ]
    for name, user, folder, command, env in programs:
        parts.append(
            f"""
[program:{name}]
command={command.replace("%", "%%")}
user={user}
directory={folder}
environment={env.replace("%", "%%")}
autorestart=true
startsecs=3
startretries={RETRIES}
stopwaitsecs=4
stopasgroup={"false" if name == "sshd" else "true"}
killasgroup={"false" if name == "sshd" else "true"}
stdout_logfile={LOGS}/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
redirect_stderr=true
"""
        )
    # Once at each start: the tmux sessions of the set-up, which go on by themselves.
    parts.append(
        f"""
[program:services]
command=/usr/local/bin/berth-services sync
user={settings.user}
directory={settings.home}
environment={person.replace("%", "%%")}
autorestart=false
startsecs=0
stdout_logfile={LOGS}/services.log
stdout_logfile_maxbytes=1MB
stdout_logfile_backups=1
redirect_stderr=true
"""
    )
    return "".join(parts)
