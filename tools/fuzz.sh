#!/usr/bin/env bash
# Looks for inputs that break what tests/fuzz_finds/checks says, FUZZ_SECONDS for each target; FUZZ_TARGETS names
# some of them. What is found lies in fuzz/artifacts: `cargo +nightly fuzz tmin TARGET FILE` makes it small, and
# under tests/fuzz_finds/TARGET `make test` replays it ever after.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-600}
targets=${FUZZ_TARGETS:-sse openai_stream anthropic_stream gemini_stream answers ask}

if ! cargo +nightly --version >/dev/null 2>&1; then
  echo "Fuzzing needs a nightly compiler beside the usual one, for its coverage counters."
  echo "Get it with: rustup toolchain install nightly --profile minimal"
  exit 1
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "Fuzzing needs cargo-fuzz. Get it with: cargo install --locked cargo-fuzz"
  exit 1
fi

# Copies files into a target's corpus, each with the four bytes behind it that say how it is read.
seed() {
  local target=$1 knobs=$2 file
  shift 2
  for file; do
    { cat "$file"; printf "$knobs"; } >"fuzz/corpus/$target/$(tr / - <<<"${file#tests/golden/}")"
  done
}

for target in $targets; do
  mkdir -p "fuzz/corpus/$target"
done
for target in $targets; do
  case $target in
    anthropic_stream) seed "$target" '\001\000\050\006' tests/golden/anthropic/*/stream.txt ;;
    gemini_stream) seed "$target" '\001\000\050\006' tests/golden/gemini/*/stream.txt ;;
    sse) seed "$target" '\000\003\050\006' tests/golden/*/*/stream.txt ;;
    answers)
      seed "$target" '\000\001\000\000' tests/golden/anthropic/*/response.json
      seed "$target" '\000\002\000\000' tests/golden/gemini/*/response.json
      ;;
    ask) seed "$target" '\374\002\000\000' tests/golden/*/*/ask.json ;;
  esac
done

# The limit of time is real time, and the machine may be busy with other things: 60 s is for what never ends.
# The sanitizer keeps freed memory for a while, which must not count as the project's.
export ASAN_OPTIONS="quarantine_size_mb=16:${ASAN_OPTIONS:-}"
failed=
for target in $targets; do
  echo "== $target: $seconds s"
  cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "tests/fuzz_finds/$target" -- \
    "-max_total_time=$seconds" "-dict=fuzz/words/$target.dict" -max_len=16384 -timeout=60 \
    -rss_limit_mb=512 -malloc_limit_mb=64 -print_final_stats=1 || failed="$failed $target"
done
if [ -n "$failed" ]; then
  echo "found something:$failed (see fuzz/artifacts)"
  exit 1
fi
