#!/usr/bin/env bash
# Builds one of our crates twice, in two folders with two target folders, with the flags of deploy/release.sh, and compares
# the bytes of the libraries: by hand, for a whole release takes two release builds.
#
#   reproducible.sh [CRATE]        (atrest-model)
#
# Exit: 0 the same, 1 not.
set -euo pipefail
cd "$(dirname "$0")/../.."
crate=${1:-atrest-model}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
for copy in one two/deeper; do
  mkdir -p "$work/$copy/src"
  git archive HEAD | tar -x -C "$work/$copy/src"
  CARGO_TARGET_DIR=$work/$copy/target ATREST_RELEASE_COMMAND="build --package $crate --lib" "$work/$copy/src/deploy/release.sh"
done
name=lib${crate//-/_}
failed=0
for made in "$work"/one/target/release/deps/"$name"-*.r*; do
  other=$work/two/deeper/target/release/deps/$(basename "$made")
  if cmp --silent "$made" "$other"; then
    echo "reproducible: $(basename "$made") $(sha256sum "$made" | cut -c1-16) in both"
  else
    echo "reproducible: $(basename "$made") differs" >&2
    failed=1
  fi
done
exit "$failed"
