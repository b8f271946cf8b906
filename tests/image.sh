#!/usr/bin/env bash
# Builds the image without a container engine, on a base made here, then runs the binary in it as the image would:
# as its own user, on a read-only root. Needs root on Debian. PROFILE=dev builds faster.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/target/image
profile=${PROFILE:-release}
mkdir -p "$work"

gateway=
container=
finish() {
  if [ -n "$gateway" ]; then
    kill "$gateway" 2>/dev/null || true
  fi
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
  buildah_here inspect --type image localhost/weir-builder >/dev/null 2>&1 && return
  echo "making the builder's base"
  rm -rf "$work/base"
  (. /etc/os-release && debootstrap --variant=minbase --include=gcc,libc6-dev "$VERSION_CODENAME" "$work/base") \
    >"$work/debootstrap.log"
  local from
  from=$(buildah_here from scratch)
  buildah_here add -q "$from" "$work/base" / >/dev/null
  buildah_here config --env PATH=/usr/local/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --env CARGO_HOME=/usr/local/cargo --env CARGO_NET_OFFLINE=true "$from"
  buildah_here commit -q --rm "$from" localhost/weir-builder >/dev/null
  rm -rf "$work/base"
}

build() {
  cargo fetch --locked --quiet
  buildah_here build --quiet --isolation chroot --format docker --tag weir:latest \
    --build-arg BUILDER=localhost/weir-builder --build-arg PROFILE="$profile" \
    --volume "$(rustc --print sysroot):/usr/local/rust:ro" \
    --volume "${CARGO_HOME:-$HOME/.cargo}/registry:/usr/local/cargo/registry:ro" \
    . >/dev/null
  # What the image was before has no name any more.
  buildah_here rmi --prune >/dev/null
  ok "is built"
}

# inside COMMAND...: runs it in the image's files, as the image's user, in its folder, the root read-only but for the
# volume, with $environment.
inside() {
  exec unshare --mount sh -c '
    root=$1; shift
    mount --bind "$root" "$root" && mount -o remount,ro,bind "$root" &&
      mount -t tmpfs -o mode=0700,uid=65532,gid=65532 tmpfs "$root/data" && exec env -i "$@"' sh "$mounted" \
    "${environment[@]}" unshare --root="$mounted" --wd=/data --setgid=65532 --setuid=65532 "$@"
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

# Without keys and on an address that others reach it must not serve.
environment=(WEIR_SERVER__LISTEN=0.0.0.0:8080)
status=0
(inside /weir serve --config /config/weir.toml) >"$work/log" 2>&1 &
gateway=$!
for _ in $(seq 50); do
  kill -0 "$gateway" 2>/dev/null || break
  sleep 0.1
done
kill -0 "$gateway" 2>/dev/null && fail "refuses to serve everybody without keys"
wait "$gateway" || status=$?
gateway=
{ [ "$status" -ne 0 ] && grep -qi key "$work/log"; } || fail "refuses to serve everybody without keys"
ok "refuses to serve everybody without keys"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
environment=(WEIR_SERVER__LISTEN="127.0.0.1:$port")
(inside /weir serve --config /config/weir.toml) >"$work/log" 2>&1 &
gateway=$!
for _ in $(seq 100); do
  grep -q 'listening on' "$work/log" && break
  sleep 0.1
done
curl -fsS --noproxy '*' --max-time 5 "http://127.0.0.1:$port/healthz" >/dev/null || fail "answers /healthz"
ok "answers /healthz"
curl -fsS --noproxy '*' --max-time 10 -H 'content-type: application/json' \
  -d '{"model":"standard","messages":[{"role":"user","content":"Hello"}]}' \
  "http://127.0.0.1:$port/v1/chat/completions" | grep -q '"content"' || fail "answers a question"
ok "answers a question"
(inside /weir health) >>"$work/log" 2>&1 || fail "passes its own health check"
ok "passes its own health check"

echo "binary: $(stat -c %s "$mounted/weir") bytes; files of the image: $(du -sb "$mounted" | cut -f1) bytes ($profile)"
echo "$passed passed, 0 failed"
