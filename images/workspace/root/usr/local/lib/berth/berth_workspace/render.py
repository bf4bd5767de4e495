"""Texts of the services' files, from the settings. Pure: nothing is read or written here."""

import json
import re

LOGS = "/var/log/berth"
ETC = "/etc/berth/services"

# The container's own ports. VS Code, Jupyter and TensorBoard are opened by the person's ports of them, where nginx
# listens; what stands behind it is on loopback alone, code-server on a Unix socket, as it does not look at Host itself.
SSH, JUPYTER_BEHIND, TENSORBOARD_BEHIND = 22, 8888, 6006
CODE_FOLDER = "/run/berth-code"
CODE_BEHIND = f"{CODE_FOLDER}/http.sock"

# Names of the workspace itself and of the computer that forwards its ports, as a Host header has them.
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

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

    Its WebSockets are refused where Origin is not Host. The cookie's name has the port, as Jupyter's has: a person may
    have workspaces of two stacks under one name.
    """
    return f"""# Written by berth-apply.
socket: {CODE_BEHIND}
socket-mode: "0660"
cookie-suffix: "{settings.ports["code"]}"
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
    """Jupyter's settings, with the token, which no command line and no environment shows.

    It looks at Host once more by itself, but knows no other address than loopback's: where the node publishes it,
    nginx alone looks. A WebSocket by cookie is refused where Origin is not Host.
    """
    return f"""# Written by berth-apply.
c = get_config()
c.IdentityProvider.token = {json.dumps(settings.secrets["jupyterToken"])}
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port = {JUPYTER_BEHIND}
c.ServerApp.port_retries = 0
c.ServerApp.allow_remote_access = {settings.published}
c.ServerApp.local_hostnames = {json.dumps(["localhost", *settings.hosts])}
c.ServerApp.open_browser = False
c.ServerApp.root_dir = {json.dumps(settings.home)}
c.ServerApp.terminado_settings = {{"shell_command": [{json.dumps(settings.shell)}, "-l"]}}
c.LabApp.extension_manager = "readonly"
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.news_url = None
"""


# What nginx hands on of a request. Forwarded and X-Forwarded-Host would count for code-server in place of Host.
PASSED_ON = """proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_header;
      proxy_set_header Forwarded "";
      proxy_set_header X-Forwarded-Host "";"""


# Without the person's name: whoever led a browser here can read it.
REFUSAL = "This workspace is not reached by this address, but by YOUR-NAME.localhost, as its sign-in over SSH shows.\n"


def host_pattern(settings):
    """A regular expression for the Host headers that are answered: these names with any port, as people may forward
    to another port of their own computer, or none."""
    names = "|".join(re.escape(name) for name in (*settings.hosts, *LOOPBACK))
    return f"^(?:{names})(?::[0-9]+)?$"


def door(settings, service, target, *more):
    """One server of nginx: the person's port of a service."""
    address = "0.0.0.0" if settings.published else "127.0.0.1"
    lines = "".join(f"      {line}\n" for line in more)
    return f"""
  server {{
    listen {address}:{settings.ports[service]};
    if ($known = 0) {{ return 403 {json.dumps(REFUSAL)}; }}
    location / {{
      proxy_pass http://{target};
      {PASSED_ON}
{lines}    }}
  }}
"""


def nginx(settings):
    """nginx in front of VS Code, Jupyter and TensorBoard: by other names than the person's they are not reached, and
    TensorBoard, which has no sign-in of its own, asks for the password."""
    board = (
        f'auth_basic "TensorBoard of {settings.user}";',
        f"auth_basic_user_file {ETC}/tensorboard.htpasswd;",
        "# The password is for this door alone.",
        'proxy_set_header Authorization "";',
    )
    return f"""# Written by berth-apply.
user www-data;
worker_processes 1;
pid /run/berth-nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  server_tokens off;
  default_type text/plain;
  client_body_temp_path /var/lib/nginx/body;
  # TensorBoard's pages ask for long lists of tags.
  large_client_header_buffers 4 32k;
  # Files of any size, as they come; WebSockets for as long as they are open.
  client_max_body_size 0;
  proxy_http_version 1.1;
  proxy_request_buffering off;
  proxy_buffering off;
  proxy_read_timeout 1d;
  proxy_send_timeout 1d;
  # Whoever owns a name can lead a browser here by it (DNS rebinding) and would be handed the answers.
  map $http_host $known {{
    default 0;
    "~*{host_pattern(settings)}" 1;
  }}
  map $http_upgrade $connection_header {{
    default close;
    "~*^websocket$" upgrade;
  }}
  upstream code {{ server unix:{CODE_BEHIND}; }}
  upstream jupyter {{ server 127.0.0.1:{JUPYTER_BEHIND}; }}
  upstream tensorboard {{ server 127.0.0.1:{TENSORBOARD_BEHIND}; }}
{door(settings, "code", "code")}{door(settings, "jupyter", "jupyter")}{door(settings, "tensorboard", "tensorboard", *board)}}}
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
