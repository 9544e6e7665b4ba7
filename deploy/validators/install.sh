#!/usr/bin/env bash
# Puts kubernetes-validate and cfn-lint, which the files of deploy/ are tested with, into a folder of your own.
#
#   install.sh [--dir DIR]
#
#   DIR    ${ATREST_VALIDATORS:-${XDG_CACHE_HOME:-$HOME/.cache}/atrest/validators}
#
# Nothing is installed system-wide. The packages come from the index that pip is set up for and must have the
# SHA-256 written down in requirements.txt, of which a copy is left beside them: a test that finds another one there
# says that they are out of date.
#
# Exit: 0 installed (or was), 1 internal or a hash differs, 2 usage, 3 this machine can't.
set -euo pipefail
umask 022

requirements=$(cd "$(dirname "$0")" && pwd -P)/requirements.txt
# The only version that is validated against: backoffLimitPerIndex is stable from here on.
kubernetes=1.33

usage() { sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
say() { echo "install-validators: $*" >&2; }
cannot() { say "cannot install here: $*"; exit 3; }

dir=${ATREST_VALIDATORS:-}
while [ $# -gt 0 ]; do
  case $1 in
    --dir) [ $# -ge 2 ] || usage; dir=$2; shift 2 ;;
    --dir=*) dir=${1#--dir=}; shift ;;
    *) usage ;;
  esac
done
[ "$dir" != none ] || { say "nothing is installed: ATREST_VALIDATORS=none"; exit 0; }
if [ -z "$dir" ]; then
  [ -n "${XDG_CACHE_HOME:-}" ] || [ -n "${HOME:-}" ] || { say "neither --dir nor ATREST_VALIDATORS, XDG_CACHE_HOME or HOME says where to"; exit 1; }
  dir=${XDG_CACHE_HOME:-${HOME:-}/.cache}/atrest/validators
fi
mkdir -p "$dir"
dir=$(cd "$dir" && pwd -P)

command -v flock >/dev/null 2>&1 || cannot "flock (util-linux) is not on this machine"
exec 9>"$dir/.lock"
flock 9

# The interpreter is asked too: the one that the folder was made with may be gone.
if cmp -s "$requirements" "$dir/requirements.txt" && "$dir/venv/bin/python" -c 'import cfnlint, kubernetes_validate' 2>/dev/null; then
  say "kubernetes-validate and cfn-lint are installed in $dir"
  exit 0
fi
python=$(command -v python3) || cannot "python3 is not on this machine"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || cannot "$("$python" --version) is too old, 3.11 is needed"
"$python" -c 'import ensurepip, venv' 2>/dev/null || cannot "$python has no venv module (Debian: python3-venv)"
# Scripts in it name its path, so it is made where it stays; the copy of the requirements comes last.
rm -rf "$dir/venv" "$dir/requirements.txt"
"$python" -m venv "$dir/venv"
"$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
  --only-binary=:all: --require-hashes --requirement "$requirements"
# A hundred megabytes of schemas of versions that nobody asks for.
schemas=$("$dir/venv/bin/python" -c 'import kubernetes_validate, os; print(os.path.dirname(kubernetes_validate.__file__))')/kubernetes-json-schema
find "$schemas" -mindepth 1 -maxdepth 1 -type d ! -name "v$kubernetes*" -exec rm -rf {} +
cp "$requirements" "$dir/requirements.txt.new"
mv "$dir/requirements.txt.new" "$dir/requirements.txt"
say "$("$dir/venv/bin/python" -m pip freeze | grep -E '^(cfn-lint|kubernetes-validate)==' | tr '\n' ' ')in $dir"
