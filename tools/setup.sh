#!/usr/bin/env bash
# Installs what `make test` needs and does not find. What is there stays as it is.
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO_DENY=0.20.2

have() { command -v "$1" >/dev/null 2>&1; }

can_be_root() { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    DEBIAN_FRONTEND=noninteractive "$@"
  elif can_be_root; then
    sudo -n DEBIAN_FRONTEND=noninteractive "$@"
  else
    echo "needs root for: $*" >&2
    return 1
  fi
}

debian_packages() {
  local wanted=()
  have cc || wanted+=(gcc libc6-dev)
  have git || wanted+=(git)
  have curl || wanted+=(curl ca-certificates)
  python3 -c 'import ensurepip, venv' 2>/dev/null || wanted+=(python3 python3-venv)
  have node || wanted+=(nodejs)
  have npm || wanted+=(npm)
  have chromium || [ -n "${WEIR_CHROMIUM:-}" ] || wanted+=(chromium)
  [ ${#wanted[@]} -eq 0 ] && return
  if ! have apt-get; then
    echo "Please install: ${wanted[*]}" >&2
    exit 1
  fi
  echo "installing ${wanted[*]}"
  if ! can_be_root; then
    echo "needs root for: apt-get install ${wanted[*]}" >&2
    exit 1
  fi
  as_root apt-get update -qq
  as_root apt-get install -qq -y --no-install-recommends "${wanted[@]}" >/dev/null
}

# Debian's package prometheus, into folder $1.
download() { (cd "$1" && apt-get download -qq -o APT::Sandbox::User=root prometheus); }

# Debian's Prometheus with promtool. Unpacked, not installed: its installation would start a server here, now and at
# each boot, and nothing but the two programs is needed.
prometheus_programs() {
  local folder=target/tools/prometheus
  have prometheus && have promtool && return
  [ -x "$folder/usr/bin/prometheus" ] && [ -x "$folder/usr/bin/promtool" ] && return
  if ! have apt-get; then
    echo "Please install: prometheus (with promtool)" >&2
    exit 1
  fi
  echo "fetching Debian's package prometheus"
  rm -rf "$folder"
  mkdir -p "$folder"
  # A download needs no root; it fails where the lists of packages are missing or too old.
  if ! download "$folder" 2>/dev/null; then
    as_root apt-get update -qq
    download "$folder"
  fi
  dpkg-deb -x "$folder"/prometheus_*.deb "$folder"
  rm "$folder"/prometheus_*.deb
}

# Whether the copy of file $1 that was made after the last installation is still the same; else the caller installs.
fresh() { cmp -s "$1" "$2"; }

python_packages() {
  local list=tests/sdk/requirements.txt
  fresh "$list" .venv/installed && .venv/bin/python -c 'import openai' 2>/dev/null && return
  echo "installing the Python packages of the SDK checks"
  rm -rf .venv
  python3 -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$list"
  cp "$list" .venv/installed
}

# The Node packages of the checks in folder $1.
node_packages() {
  local folder=$1
  fresh "$folder/package-lock.json" "$folder/node_modules/installed" && return
  echo "installing the Node packages of $folder"
  (cd "$folder" && npm ci --silent)
  cp "$folder/package-lock.json" "$folder/node_modules/installed"
}

cargo_tools() {
  PATH="$PWD/target/tools/bin:$PATH" cargo deny --version >/dev/null 2>&1 && return
  echo "installing cargo-deny $CARGO_DENY"
  # Unoptimized: it is built in a minute and checks within seconds all the same.
  CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --debug --locked --version "$CARGO_DENY" \
    --root target/tools --target-dir target/tools/build cargo-deny
  rm -rf target/tools/build
}

debian_packages
prometheus_programs
python_packages
node_packages tests/sdk/node
node_packages tests/dashboard
cargo_tools
