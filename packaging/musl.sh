#!/bin/sh
# A static binary with musl, at target/ARCHITECTURE-unknown-linux-musl/release/waxseal. Needs Rust's library for that
# target and a C compiler for it (ring): rustup target add ARCHITECTURE-unknown-linux-musl; Debian's musl-tools.
set -eu
cd "$(dirname "$0")/.."
. packaging/flags.sh

target=$(uname -m)-unknown-linux-musl
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
    echo "Rust's library for $target is missing: rustup target add $target" >&2
    exit 1
fi
if ! command -v musl-gcc >/dev/null; then
    echo 'musl-gcc is missing: apt-get install musl-tools' >&2
    exit 1
fi

variable=$(echo "$target" | tr '[:lower:]-' '[:upper:]_')
export "CC_$(echo "$target" | tr - _)=musl-gcc" "CARGO_TARGET_${variable}_LINKER=musl-gcc"
cargo build --release --locked --target "$target"

# A static binary asks for no interpreter.
binary=${CARGO_TARGET_DIR:-target}/$target/release/waxseal
if readelf -l "$binary" | grep -q INTERP; then
    echo "$binary is not static" >&2
    exit 1
fi
"$binary" --version
