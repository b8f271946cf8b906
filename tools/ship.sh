#!/bin/sh
# Builds the binary that ships, twice: first with counters, which a load fills, then with what they counted, by which the
# compiler knows what is hot. The binary is then target/ship/weir. WEIR_SHIP_FLAGS are more flags for the compiler.
set -eu
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
target=${WEIR_SHIP_TARGET:-target/ship}
flags=${WEIR_SHIP_FLAGS:-}
mkdir -p "$target"
target=$(cd "$target" && pwd)

# Naming the target keeps the flags away from build scripts and procedural macros.
build() {
  RUSTFLAGS="$flags $1" cargo build --release --locked --bin weir --target "$host" --target-dir "$2"
}

tool=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
[ -x "$tool" ] || rustup component add llvm-tools
rm -rf "$target/counts"
mkdir -p "$target/counts"
build "-C profile-generate=$target/counts" "$target/counting"
cargo build --locked --example wire
python3 benches/wire/exercise.py "$target/counting/$host/release/weir" "${CARGO_TARGET_DIR:-target}/debug/examples/wire" "$target/counts"
# Crates that did not change keep what was counted for them before.
"$tool" merge -o "$target/weir.profdata" "$target"/counts/weir-*.profraw
build "-C profile-use=$target/weir.profdata" "$target/final"
cp "$target/final/$host/release/weir" "$target/weir"
echo "$target/weir"
