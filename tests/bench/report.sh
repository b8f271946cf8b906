#!/usr/bin/env bash
# How long `weir report --since 30d` takes over a million rows, with the bytes that a row takes. On a machine that does
# other work the times are worth little.
set -euo pipefail
cd "$(dirname "$0")/../.."

cargo build --release --locked --bin weir
python3 tests/bench/report.py target/release/weir "${ROWS:-1000000}"
