#!/usr/bin/env bash
# Makes the Debian package: `make deb`.
#
#   deploy/deb/build.sh [--program FILE] [--out FOLDER] [--fast]
#
#   FILE    a binary that is built already (without it deploy/release.sh builds target/release/atrest)
#   FOLDER  where the package is put (target/debian)
#   --fast  larger, and made in a tenth of the time: to look at it
#
# cargo-deb (`cargo install --locked cargo-deb`) assembles it as Cargo.toml says. It holds the program, a manual page for
# each verb, completions for bash, zsh and fish, service and timer of the nightly scan, and the docs. Nothing of it runs
# when it is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() { sed -n '2,8p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
say() { echo "deb: $*" >&2; }

program=
out=target/debian
more=()
while [ $# -gt 0 ]; do
  case $1 in
    --program) [ $# -ge 2 ] || usage; program=$2; shift 2 ;;
    --fast) more=(--fast); shift ;;
    --out) [ $# -ge 2 ] || usage; out=$2; shift 2 ;;
    *) usage ;;
  esac
done
cargo deb --version >/dev/null 2>&1 || { say "cargo-deb is not installed: cargo install --locked cargo-deb"; exit 3; }
if [ -z "$program" ]; then
  deploy/release.sh
  program=${CARGO_TARGET_DIR:-target}/release/atrest
fi
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

# What the program says of itself. The folder is the one that Cargo.toml names.
made=target/deb
rm -rf "$made"
mkdir -p "$made/man" "$out"
install --mode=0755 "$program" "$made/atrest"
"$made/atrest" man "$made/man"
gzip --best --no-name "$made/man"/*.1
gzip --best --no-name --stdout CHANGELOG.md >"$made/changelog.gz"
for shell in bash zsh fish; do "$made/atrest" completions "$shell" >"$made/atrest.$shell"; done
say "$(cargo deb --locked --no-build --no-strip "${more[@]}" --output "$out/")"
