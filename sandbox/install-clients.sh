#!/usr/bin/env bash
# Puts boto3 and the AWS CLI, which the sandbox is tested with, and moto, which plays S3, into a folder of your own.
#
#   install-clients.sh [--dir DIR]
#
#   DIR    ${ATREST_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/atrest/clients}
#
# Nothing is installed system-wide. The packages come from the index that pip is set up for and must have the
# SHA-256 written down in tests/clients/requirements.txt and moto.txt, of which copies are left beside them: a test that
# finds another one there says that they are out of date.
#
# Exit: 0 installed (or was), 1 internal or a hash differs, 2 usage, 3 this machine can't.
set -euo pipefail
umask 022

lists=$(cd "$(dirname "$0")" && pwd -P)/tests/clients

usage() { sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
say() { echo "install-clients: $*" >&2; }
cannot() { say "cannot install here: $*"; exit 3; }

dir=${ATREST_CLIENTS:-}
while [ $# -gt 0 ]; do
  case $1 in
    --dir) [ $# -ge 2 ] || usage; dir=$2; shift 2 ;;
    --dir=*) dir=${1#--dir=}; shift ;;
    *) usage ;;
  esac
done
if [ -z "$dir" ]; then
  [ -n "${XDG_CACHE_HOME:-}" ] || [ -n "${HOME:-}" ] || { say "neither --dir nor ATREST_CLIENTS, XDG_CACHE_HOME or HOME says where to"; exit 1; }
  dir=${XDG_CACHE_HOME:-${HOME:-}/.cache}/atrest/clients
fi
mkdir -p "$dir"
dir=$(cd "$dir" && pwd -P)

command -v flock >/dev/null 2>&1 || cannot "flock (util-linux) is not on this machine"
exec 9>"$dir/.lock"
flock 9

# One virtual environment of what a list names. The interpreter is asked too: the one that it was made with may be gone.
install() { # LIST FOLDER MODULES PACKAGES
  local list=$lists/$1 venv=$dir/$2
  if cmp -s "$list" "$dir/$1" && "$venv/bin/python" -c "import $3" 2>/dev/null; then
    say "$4 are installed in $dir"
    return
  fi
  local python
  python=$(command -v python3) || cannot "python3 is not on this machine"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || cannot "$("$python" --version) is too old, 3.10 is needed"
  "$python" -c 'import ensurepip, venv' 2>/dev/null || cannot "$python has no venv module (Debian: python3-venv)"
  # Scripts in it name its path, so it is made where it stays; the copy of the list comes last.
  rm -rf "$venv" "${dir:?}/$1"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
    --only-binary=:all: --require-hashes --requirement "$list"
  cp "$list" "$dir/$1.new"
  mv "$dir/$1.new" "$dir/$1"
  say "$("$venv/bin/python" -m pip freeze | grep -E '^(awscli|boto3|moto)==' | tr '\n' ' ')in $dir"
}

install requirements.txt venv 'awscli, boto3' 'boto3 and the AWS CLI'
install moto.txt moto 'moto.server' 'moto and what it needs'
