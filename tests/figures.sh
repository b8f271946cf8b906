#!/usr/bin/env bash
# Builds the static binary that ships and quotes its figures: sizes, idle memory, start to first answer. Fails where
# one misses its target. On a machine that does other work the times are worth little.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
# The image is built in the same folder, see tests/image.sh.
RUSTFLAGS="-C target-feature=+crt-static" \
  cargo build --release --locked --bin weir --target "$host" --target-dir target/static
python3 tests/figures.py "target/static/$host/release/weir"
if [ "$(id -u)" -eq 0 ] && command -v buildah >/dev/null; then
  tests/image.sh | grep -vE '^ok '
else
  echo "image                             not built here: make image-check"
fi
