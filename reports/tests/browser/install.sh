#!/usr/bin/env bash
# Puts what pages are tested with into a folder of your own: Playwright, which drives the Chromium of the distribution,
# and axe-core, which judges accessibility.
#
#   install.sh [--dir DIR]
#
#   DIR    ${ATREST_BROWSER:-${XDG_CACHE_HOME:-$HOME/.cache}/atrest/browser}
#
# Nothing is installed system-wide, and no browser is downloaded. Packages come from the index that pip and the registry
# that npm are set up for, and must have the hashes written down here and in requirements.txt beside this file.
#
# Exit: 0 installed (or was), 1 internal or a hash differs, 2 usage, 3 this machine can't.
set -euo pipefail
umask 022

AXE=4.14.1
SHA512_AXE=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5
requirements=$(cd "$(dirname "$0")" && pwd -P)/requirements.txt

usage() { sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
say() { echo "install-browser: $*" >&2; }
cannot() { say "cannot install here: $*"; exit 3; }

dir=${ATREST_BROWSER:-}
while [ $# -gt 0 ]; do
  case $1 in
    --dir) [ $# -ge 2 ] || usage; dir=$2; shift 2 ;;
    --dir=*) dir=${1#--dir=}; shift ;;
    *) usage ;;
  esac
done
if [ "$dir" = none ]; then say "ATREST_BROWSER=none: the pages are not tested in a browser"; exit 0; fi
if [ -z "$dir" ]; then
  [ -n "${XDG_CACHE_HOME:-}" ] || [ -n "${HOME:-}" ] || { say "neither --dir nor ATREST_BROWSER, XDG_CACHE_HOME or HOME says where to"; exit 1; }
  dir=${XDG_CACHE_HOME:-${HOME:-}/.cache}/atrest/browser
fi
mkdir -p "$dir"
dir=$(cd "$dir" && pwd -P)

command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || cannot "chromium is not on this machine (Debian: chromium)"
command -v flock >/dev/null 2>&1 || cannot "flock (util-linux) is not on this machine"
exec 9>"$dir/.lock"
flock 9

if cmp -s "$requirements" "$dir/requirements.txt" && [ "$(cat "$dir/axe.version" 2>/dev/null)" = "$AXE" ] && [ -s "$dir/axe.min.js" ] \
  && "$dir/venv/bin/python" -c 'import playwright' 2>/dev/null; then
  say "Playwright and axe-core are installed in $dir"
  exit 0
fi
[ "$(uname -sm)" = "Linux x86_64" ] || cannot "the hashes are of wheels for Linux on x86_64"
command -v npm >/dev/null 2>&1 || cannot "npm is not on this machine"
python=$(command -v python3) || cannot "python3 is not on this machine"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || cannot "$("$python" --version) is too old, 3.10 is needed"
"$python" -c 'import ensurepip, venv' 2>/dev/null || cannot "$python has no venv module (Debian: python3-venv)"
# Scripts in it name its path, so it is made where it stays; the copy of the requirements comes last.
rm -rf "$dir/venv" "$dir/requirements.txt" "$dir/axe.version"
"$python" -m venv "$dir/venv"
"$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
  --only-binary=:all: --require-hashes --requirement "$requirements"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "axe-core@$AXE" >/dev/null) || cannot "npm could not fetch axe-core@$AXE"
echo "$SHA512_AXE  $work/axe-core-$AXE.tgz" | sha512sum --check --quiet --strict - || { say "axe-core@$AXE is not what it was"; exit 1; }
tar -xzf "$work/axe-core-$AXE.tgz" -C "$work" package/axe.min.js
mv "$work/package/axe.min.js" "$dir/axe.min.js"
echo "$AXE" >"$dir/axe.version"
cp "$requirements" "$dir/requirements.txt.new"
mv "$dir/requirements.txt.new" "$dir/requirements.txt"
say "Playwright and axe-core $AXE in $dir"
