#!/usr/bin/env bash
# Builds the static binary that ships and quotes its figures: sizes, idle memory, start to first answer. Fails where
# one misses its target. On a machine that does other work the times are worth little.
set -euo pipefail
cd "$(dirname "$0")/.."

# The image is built in the same folder, see tests/image.sh.
WEIR_SHIP_FLAGS="-C target-feature=+crt-static" WEIR_SHIP_TARGET=target/static tools/ship.sh
python3 tests/figures.py target/static/weir
if [ "$(id -u)" -eq 0 ] && command -v buildah >/dev/null; then
  tests/image.sh | grep -vE '^ok '
else
  echo "image                             not built here: make image-check"
fi
