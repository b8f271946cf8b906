#!/usr/bin/env bash
# Starts the built gateway as a newcomer would: default configuration, no keys. Then curl and the openai packages
# for Python and Node ask it. Behind others recorded traffic is replayed, and a simulated provider speaks every
# protocol, which these packages and the frameworks upon them ask. WEIR_URL, where it is set, names a
# gateway that runs already; WEIR_BIN another binary.
set -uo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
folder=$(mktemp -d)
gateway=

finish() {
  if [ -n "$gateway" ]; then
    kill "$gateway" 2>/dev/null
    wait "$gateway" 2>/dev/null
  fi
  rm -rf "$folder"
}
trap finish EXIT

export WEIR_BIN=${WEIR_BIN:-${CARGO_TARGET_DIR:-$root/target}/debug/weir}

start() {
  cp -r config "$folder/config"
  # A clean environment: no provider's key, no PORT, no WEIR_ setting but a free port.
  (cd "$folder" && exec env -i PATH="$PATH" WEIR_SERVER__LISTEN=127.0.0.1:0 "$WEIR_BIN" serve 2>"$folder/log") &
  gateway=$!
  for _ in $(seq 200); do
    WEIR_URL=$(sed -nE 's#.*listening on (http://[0-9.:]+).*#\1#p' "$folder/log" 2>/dev/null | head -n 1)
    [ -n "$WEIR_URL" ] && return
    kill -0 "$gateway" 2>/dev/null || break
    sleep 0.05
  done
  echo "the gateway does not listen:"
  cat "$folder/log"
  echo "0 passed, 1 failed"
  exit 1
}

if [ -z "${WEIR_URL:-}" ]; then
  start
fi
export WEIR_URL
echo "checks of $WEIR_URL"

passed=0
failed=0
# run COMMAND...: shows its output and adds up its last line.
run() {
  "$@" 2>&1 | tee "$folder/output"
  local line
  line=$(tail -n 1 "$folder/output")
  if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
    passed=$((passed + BASH_REMATCH[1]))
    failed=$((failed + BASH_REMATCH[2]))
  else
    echo "FAIL  $* ended without its closing line"
    failed=$((failed + 1))
  fi
}

run bash tests/sdk/readme.sh
run bash tests/sdk/curl.sh
run .venv/bin/python tests/sdk/python/checks.py
run node tests/sdk/node/checks.mjs
run .venv/bin/python tests/sdk/python/corpus.py
run .venv/bin/python tests/sdk/python/cached.py
# These start a gateway of their own, before a simulated provider in every protocol.
behind=(.venv/bin/python tests/sdk/python/behind.py)
run "${behind[@]}" .venv/bin/python tests/sdk/python/matrix.py
run "${behind[@]}" .venv/bin/python tests/sdk/python/frameworks.py
run "${behind[@]}" node tests/sdk/node/frameworks.mjs

if [ "$failed" -ne 0 ] && [ -n "$gateway" ]; then
  echo "the gateway's log:"
  tail -n 50 "$folder/log"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
