#!/usr/bin/env bash
# Builds target/release/atrest so that the same sources give the same bytes wherever they lie.
#
#   deploy/release.sh [ARGUMENTS OF CARGO BUILD]
#
# Paths of this machine become /src, /cargo and /rust in what is built; the time is that of the last commit.
# docs/supply-chain.md says what has to be the same besides, and how it was tested.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$(pwd -P)
cargo_home=$(cd "${CARGO_HOME:-$HOME/.cargo}" && pwd -P)
rust=$(rustc --print sysroot)
target=${CARGO_TARGET_DIR:-$root/target}

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
export LC_ALL=C TZ=UTC
# Not from the environment of whoever builds: flags are part of the result.
unset RUSTFLAGS CARGO_BUILD_RUSTFLAGS
separator=$'\x1f'
export CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=$root=/src$separator--remap-path-prefix=$cargo_home=/cargo$separator--remap-path-prefix=$rust=/rust$separator--remap-path-prefix=$target=/target"
# aws-lc and SQLite are C, and quote __FILE__.
export CFLAGS="-ffile-prefix-map=$root=/src -ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$target=/target"
export CARGO_INCREMENTAL=0

# The features of the whole workspace, as the tests have them. checks/reproducible.sh builds less.
read -ra what <<<"${ATREST_RELEASE_COMMAND:-build --workspace --bins}"
exec cargo "${what[@]}" --locked --release "$@"
