# shellcheck shell=sh
# For the scripts beside this one: the same binary of the same source, wherever it lies and whenever it is built.

# The date of the commit, for build.rs and for the files in packages.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git show --no-patch --format=%ct HEAD 2>/dev/null) || {
        echo 'without git, SOURCE_DATE_EPOCH has to say when this source was made' >&2
        exit 1
    }
    export SOURCE_DATE_EPOCH
fi

# Paths of the machine that builds, as panic messages would have them.
crates=${CARGO_HOME:-$HOME/.cargo}
case "${RUSTFLAGS:-}" in
    *"--remap-path-prefix=$PWD="*) ;; # taken in already: other flags would be another build
    *)
        RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$crates=/usr/share/cargo --remap-path-prefix=$PWD=/usr/src/waxseal"
        export RUSTFLAGS
        ;;
esac
