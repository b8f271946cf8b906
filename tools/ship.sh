#!/bin/sh
# Builds the binary that ships, twice: first with counters, which a load fills, then with what they counted, by which the
# compiler knows what is hot. The binary is then target/ship/weir. WEIR_SHIP_FLAGS are more flags for the compiler,
# WEIR_SHIP_TARGET is another folder. Where nothing can be counted it is built once, and that is said.
set -eu
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
target=${WEIR_SHIP_TARGET:-target/ship}
mkdir -p "$target"
target=$(cd "$target" && pwd)

# build FOLDER FLAG...: naming the target keeps the flags away from build scripts and procedural macros.
build() {
  folder=$1
  shift
  # shellcheck disable=SC2086 # Several flags.
  set -- ${WEIR_SHIP_FLAGS:-} "$@"
  # A path may hold spaces; this sign stands in none.
  sign=$(printf '\037') flags=
  for flag; do
    flags=${flags:+$flags$sign}$flag
  done
  CARGO_ENCODED_RUSTFLAGS=$flags cargo build --release --locked --bin weir --target "$host" --target-dir "$folder"
}

finish() {
  cp "$target/final/$host/release/weir" "$target/weir"
  echo "$target/weir"
  exit 0
}

tool=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
if [ "$(uname)" != Linux ] || ! { [ -x "$tool" ] || rustup component add llvm-tools; }; then
  echo "ship: nothing can be counted here (that takes Linux and rustup's llvm-tools): built without a profile, so slower" >&2
  build "$target/final"
  finish
fi
rm -rf "$target/counts"
mkdir -p "$target/counts"
build "$target/counting" -C "profile-generate=$target/counts"
load=${CARGO_TARGET_DIR:-target}
cargo build --locked --example wire --target-dir "$load"
python3 benches/wire/exercise.py "$target/counting/$host/release/weir" "$load/debug/examples/wire" "$target/counts"
# Crates that did not change keep what was counted for them before.
"$tool" merge -o "$target/weir.profdata" "$target"/counts/weir-*.profraw
build "$target/final" -C "profile-use=$target/weir.profdata"
finish
