#!/usr/bin/env bash
# Builds the image without a container engine, on a base made here, then runs the binary in it as the image would:
# as its own user, on a read-only root. Needs root on Debian. PROFILE=dev builds faster.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/target/image
# Kept from run to run, shared with tests/figures.sh; crates have to stand at the same place to be taken from it.
target=$root/target/static
cargo_home=${CARGO_HOME:-$HOME/.cargo}
profile=${PROFILE:-release}
mkdir -p "$work" "$target"

running=()
container=
finish() {
  for process in "${running[@]}"; do
    kill "$process" 2>/dev/null || true
  done
  if [ -n "$container" ]; then
    buildah_here rm "$container" >/dev/null || true
  fi
}
trap finish EXIT

passed=0
ok() {
  passed=$((passed + 1))
  echo "ok    image $1"
}
fail() {
  echo "FAIL  image $1"
  [ -f "$work/log" ] && cat "$work/log"
  echo "$passed passed, 1 failed"
  exit 1
}

tools() {
  local wanted=()
  command -v buildah >/dev/null || wanted+=(buildah)
  command -v debootstrap >/dev/null || wanted+=(debootstrap)
  [ ${#wanted[@]} -eq 0 ] && return
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${wanted[@]}" >/dev/null
}

buildah_here() {
  buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"
}

# A Debian with a C compiler, as the official builder image is; this machine's own Rust is mounted into it below.
builder_image() {
  buildah_here inspect --type image localhost/weir-builder-2 >/dev/null 2>&1 && return
  echo "making the builder's base"
  rm -rf "$work/base"
  (. /etc/os-release && debootstrap --variant=minbase --include=gcc,libc6-dev,make,python3,util-linux "$VERSION_CODENAME" "$work/base") \
    >"$work/debootstrap.log"
  local from
  from=$(buildah_here from scratch)
  buildah_here add -q "$from" "$work/base" / >/dev/null
  buildah_here config --env PATH=/usr/local/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --env CARGO_HOME="$cargo_home" --env CARGO_NET_OFFLINE=true "$from"
  buildah_here commit -q --rm "$from" localhost/weir-builder-2 >/dev/null
  rm -rf "$work/base"
}

build() {
  cargo fetch --locked --quiet
  # The toolchain cannot be added to in there.
  ! command -v rustup >/dev/null || rustup component add llvm-tools
  # What an interrupted run left behind would keep its image in use.
  buildah_here rm --all >/dev/null
  buildah_here build --quiet --isolation chroot --format docker --tag weir:latest \
    --build-arg BUILDER=localhost/weir-builder-2 --build-arg PROFILE="$profile" \
    --volume "$(rustc --print sysroot):/usr/local/rust:ro" \
    --volume "$cargo_home/registry:$cargo_home/registry:ro" --volume "$target:/build" \
    . >/dev/null
  # What the image was before has no name any more.
  buildah_here rmi --prune >/dev/null
  ok "is built"
}

# inside COMMAND...: runs it in the image's files, as the image's user, in its folder, with the devices that every
# engine gives, the root read-only but for the volume, with $environment, for at most $limit seconds. The folder
# $settings, if set, lies over the image's own.
inside() {
  exec timeout --foreground "${limit:-0}" unshare --mount sh -c '
    root=$1; settings=$2; shift 2
    mount --bind "$root" "$root" && mount -o remount,ro,bind "$root" &&
      { [ -z "$settings" ] || mount --bind "$settings" "$root/config"; } &&
      mount -t tmpfs tmpfs "$root/dev" && touch "$root/dev/null" "$root/dev/urandom" "$root/dev/random" &&
      mount --bind /dev/null "$root/dev/null" && mount --bind /dev/urandom "$root/dev/urandom" &&
      mount --bind /dev/random "$root/dev/random" && mount -t proc proc "$root/proc" &&
      mount -t tmpfs -o mode=0700,uid=65532,gid=65532 tmpfs "$root/data" && exec env -i "$@"' sh \
    "$mounted" "$settings" "${environment[@]}" \
    unshare --root="$mounted" --wd=/data --setgid=65532 --setuid=65532 "$@"
}

# start COMMAND...: inside, in the background, until it listens; its number is in $started.
start() {
  : >"$work/log"
  (inside "$@") >"$work/log" 2>&1 &
  started=$!
  running+=("$started")
  for _ in $(seq 100); do
    grep -q 'listening on' "$work/log" && return
    kill -0 "$started" 2>/dev/null || break
    sleep 0.1
  done
  fail "listens: $*"
}

stop() {
  kill "$1"
  wait "$1" || fail "ends well: status $?"
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# ask PORT [CURL-OPTION...]: whether there is an answer to a question.
ask() {
  local port=$1
  shift
  curl -fsS --noproxy '*' --max-time 10 -H 'content-type: application/json' "$@" \
    -d '{"model":"standard","messages":[{"role":"user","content":"Hello"}]}' \
    "http://127.0.0.1:$port/v1/chat/completions" | grep -q '"content"'
}

tools
builder_image
build
container=$(buildah_here from weir:latest)
mounted=$(buildah_here mount "$container")

chroot "$mounted" /weir --version >/dev/null || fail "holds a binary that runs by itself"
ok "holds a binary that runs by itself"
user=$(buildah_here inspect --type image --format '{{.OCIv1.Config.User}}' weir:latest)
[ "$user" = 65532:65532 ] || fail "runs as a user without rights: $user"
ok "runs as a user without rights"
# buildah itself adds the mount points.
files=$(cd "$mounted" && find . -type f | sort | tr '\n' ' ')
[ "$files" = "./config/weir.toml ./weir " ] || fail "holds two files: $files"
ok "holds two files"
# An engine makes these, for what it puts there.
mkdir -p "$mounted/dev" "$mounted/proc"

# Without keys and on an address that others reach it must not serve.
settings=
environment=(WEIR_SERVER__LISTEN=0.0.0.0:8080)
status=0
(limit=5 && inside /weir serve --config /config/weir.toml) >"$work/log" 2>&1 || status=$?
{ [ "$status" -eq 1 ] && grep -q '\[\[keys\]\]' "$work/log"; } || fail "refuses to serve everybody without keys"
ok "refuses to serve everybody without keys"

port=$(free_port)
environment=(WEIR_SERVER__LISTEN="127.0.0.1:$port")
start /weir serve --config /config/weir.toml
curl -fsS --noproxy '*' --max-time 5 "http://127.0.0.1:$port/healthz" >/dev/null || fail "answers /healthz"
ok "answers /healthz"
ask "$port" || fail "answers a question"
ok "answers a question"
stop "$started"

# As on a network: everybody may come, with a key; two simulated providers. Only their addresses differ.
environment=()
for name in a b; do
  port=$(free_port)
  start /weir sim --listen "127.0.0.1:$port"
  ask "$port" || fail "simulates a provider"
  declare "sim_$name=$started" "port_$name=$port"
done
ok "simulates a provider"
settings=$work/settings
mkdir -p "$settings"
sed -e "s#//sim-a:8081/#//127.0.0.1:$port_a/#" -e "s#//sim-b:8081/#//127.0.0.1:$port_b/#" \
  tests/image/weir.toml >"$settings/weir.toml"
port=$(free_port)
environment=(WEIR_SERVER__LISTEN="0.0.0.0:$port")
start /weir serve --config /config/weir.toml
ask "$port" 2>/dev/null && fail "asks for the key"
ok "asks for the key"
demo=(-H 'authorization: Bearer sk-weir-demo')
ask "$port" "${demo[@]}" || fail "answers whoever has the key"
ok "answers whoever has the key"
stop "$sim_a"
ask "$port" "${demo[@]}" || fail "answers when the first provider is gone"
ok "answers when the first provider is gone"

# The command as the image has it.
template='{{range $at, $part := .Docker.Config.Healthcheck.Test}}{{if $at}}{{$part}} {{end}}{{end}}'
read -ra health <<<"$(buildah_here inspect --type image --format "$template" weir:latest)"
(inside "${health[@]}") >>"$work/log" 2>&1 || fail "passes its own health check"
ok "passes its own health check"
stop "$started"
(inside "${health[@]}") >>"$work/log" 2>&1 && fail "fails its health check when it is gone"
ok "fails its health check when it is gone"
stop "$sim_b"

echo "binary: $(stat -c %s "$mounted/weir") bytes; files of the image: $(du -sb "$mounted" | cut -f1) bytes ($profile)"
echo "$passed passed, 0 failed"
