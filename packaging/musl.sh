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

# musl-gcc compiles ring's C; it does not link, for its start-up code and that of Rust's static binaries do not go together:
# what comes of both ends with a segmentation fault before main.
export "CC_$(echo "$target" | tr - _)=musl-gcc"
cargo build --release --locked --target "$target"

# A static binary asks for no interpreter.
binary=${CARGO_TARGET_DIR:-target}/$target/release/waxseal
if readelf -l "$binary" | grep -q INTERP; then
    echo "$binary is not static" >&2
    exit 1
fi
"$binary" --version
