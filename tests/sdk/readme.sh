#!/usr/bin/env bash
# Runs the README's examples as they stand there. Only the address, which comes in WEIR_URL, is put in.
set -uo pipefail
cd "$(dirname "$0")/../.."
root=$PWD

passed=0
failed=0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# example LANGUAGE NUMBER: the README's so-many-th block of that language.
example() {
  awk -v fence="\`\`\`$1" -v wanted="$2" '
    /^```/ && inside { exit }
    inside { print }
    $0 == fence && ++found == wanted { inside = 1 }' README.md | sed "s#http://127.0.0.1:8080#$WEIR_URL#g"
}

# check NAME TEXT COMMAND...: TEXT has to stand in what the command prints.
check() {
  local name=$1 text=$2
  shift 2
  if "$@" >"$folder/output" 2>&1 && grep -q -- "$text" "$folder/output"; then
    passed=$((passed + 1))
    echo "ok    readme $name"
  else
    failed=$((failed + 1))
    echo "FAIL  readme $name"
    cat "$folder/output"
  fi
}

check curl '^data: \[DONE\]' bash -c "$(example sh 2)"
check python '[a-z]' "$root/.venv/bin/python" -c "$(example python 1)"
# From a folder in which the package is installed, as the reader's will be.
cd tests/sdk/node || exit 1
check typescript '[a-z]' node --input-type=module -e "$(cd "$root" && example ts 1)"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
