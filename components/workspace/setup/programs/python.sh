# shellcheck shell=bash
# ---
# python.sh VERSION VENV REQUIREMENTS UV_VERSION PACKAGE...: empty VERSION or REQUIREMENTS for none.
version=$1 venv=$(resolve "$2") requirements=$3 uv_version=$4
shift 4
# The system's authorities: uv brings its own list, which an operator's proxy is not on.
export UV_SYSTEM_CERTS=1 UV_NO_PROGRESS=1 UV_HTTP_TIMEOUT=120
changed=''

if ! command -v uv >/dev/null; then
  tools=$HOME/.local/share/berth/uv
  rm -rf -- "$tools"
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check "uv==$uv_version"
  mkdir -p -- "$HOME/.local/bin"
  ln -s -f -- "$tools/bin/uv" "$HOME/.local/bin/uv"
  changed=yes
fi

if [ -x "$venv/bin/python" ]; then
  has=$("$venv/bin/python" -c 'import platform; print(platform.python_version())')
  case $has. in
    "${version:-$has}".*) ;;
    *) fail "$venv has Python $has, the configuration asks for $version: move it away, or name another venv" ;;
  esac
elif [ -e "$venv" ] && [ -n "$(ls -A -- "$venv" 2>/dev/null || echo file)" ]; then
  fail "$venv is there and is no venv that works: move it away, or name another venv"
else
  uv venv --quiet --seed ${version:+--python "$version"} -- "$venv"
  changed=yes
fi

arguments=("$@")
if [ -n "$requirements" ]; then
  requirements=$(resolve "$requirements")
  if [ ! -f "$requirements" ]; then fail "$requirements is not there: is its repository cloned?"; fi
  arguments+=(--requirement "$requirements")
fi
if [ "${#arguments[@]}" -gt 0 ]; then
  before=$(uv pip freeze --quiet --python "$venv/bin/python")
  uv pip install --python "$venv/bin/python" "${arguments[@]}"
  if [ "$(uv pip freeze --quiet --python "$venv/bin/python")" != "$before" ]; then changed=yes; fi
fi
if [ -n "$changed" ]; then result changed; else result unchanged; fi
