#!/usr/bin/env bash
# A gateway as curl sees it. The address comes in WEIR_URL.
set -uo pipefail

passed=0
failed=0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# ask METHOD PATH [BODY]: the answer's status in $status, its body in $folder/body, its head in $folder/head.
ask() {
  local extra=()
  [ $# -gt 2 ] && extra=(-H 'content-type: application/json' --data-binary "$3")
  status=$(curl -sS -N --max-time 30 --noproxy '*' -o "$folder/body" -D "$folder/head" -w '%{http_code}' \
    -H "authorization: Bearer ${WEIR_KEY:-none}" -X "$1" "${extra[@]}" "$WEIR_URL$2")
}

# expect NAME STATUS [TEXT...]: compares the last answer; each TEXT has to stand in its body.
expect() {
  local name=$1 wanted=$2 text
  shift 2
  if [ "$status" != "$wanted" ]; then
    fail "$name" "status $status instead of $wanted"
    return
  fi
  for text in "$@"; do
    if ! grep -qF -- "$text" "$folder/body"; then
      fail "$name" "no $text in the body"
      return
    fi
  done
  passed=$((passed + 1))
  echo "ok    curl $name"
}

fail() {
  failed=$((failed + 1))
  echo "FAIL  curl $1: $2"
  cat "$folder/head" "$folder/body"
  echo
}

messages='"messages":[{"role":"user","content":"What is a weir in a river good for?"}]'

ask GET /healthz
expect "is alive" 200
ask GET /readyz
expect "is ready" 200

ask POST /v1/chat/completions "{\"model\":\"standard\",$messages}"
expect "gets an answer" 200 chat.completion total_tokens

ask POST /v1/chat/completions "{\"model\":\"standard\",\"stream\":true,$messages}"
expect "gets a stream" 200 chat.completion.chunk 'data: [DONE]'
if grep -qi '^content-type: text/event-stream' "$folder/head"; then
  passed=$((passed + 1))
else
  fail "stream's type" "not text/event-stream"
fi

ask POST /v1/embeddings '{"model":"embeddings","input":"a weir"}'
expect "gets an embedding" 200 '"embedding"'

ask GET /v1/models
expect "lists models" 200 '"standard"'
ask GET /v1/models/standard
expect "finds a model" 200 '"standard"'

ask POST /v1/chat/completions "{\"model\":\"no-such-model\",$messages}"
expect "is told of an unknown model" 404 '"error"' model_not_found
ask POST /v1/chat/completions '{"model":"standard","messages":['
expect "is told of bad JSON" 400 '"error"' invalid_request
ask POST /v1/chat/completions '{"model":"standard"}'
expect "is told of a missing field" 400 '"error"' invalid_request messages
ask GET /v1/no-such-path
expect "is told of a wrong path" 404 '"error"'

ask GET /metrics
expect "reads metrics" 200 weir_requests_total weir_build_info

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
