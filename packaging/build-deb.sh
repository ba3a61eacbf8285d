#!/bin/sh
# Builds target/debian/waxseal_VERSION_ARCHITECTURE.deb. Needs cargo-deb. Arguments go to it: --deb-revision 2
set -eu
cd "$(dirname "$0")/.."
. packaging/flags.sh

if ! cargo deb --version >/dev/null 2>&1; then
    echo 'cargo-deb is missing: cargo install cargo-deb --locked' >&2
    exit 1
fi

cargo build --release --locked
binary=${CARGO_TARGET_DIR:-target}/release/waxseal

# The manual and the completions come from what was built, so that they say what it does. Nothing old stays in between.
rm -rf target/packaging
mkdir -p target/packaging/completions
"$binary" man target/packaging/man
"$binary" completions bash >target/packaging/completions/waxseal.bash
"$binary" completions zsh >target/packaging/completions/_waxseal
"$binary" completions fish >target/packaging/completions/waxseal.fish

# What the profile leaves in the binary names functions in a backtrace.
cargo deb --no-build --no-strip --locked "$@"
