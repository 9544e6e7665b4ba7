#!/usr/bin/env bash
# The step of action.yml: scans, writes a summary for the run's page, and fails as it was asked to.
set -euo pipefail

dir=$ATREST_ACTION_DIRECTORY
mkdir -p "$dir"
dir=$(cd "$dir" && pwd -P)

options=()
while IFS= read -r option; do
  if [ -n "$option" ]; then options+=("$option"); fi
done <<<"$ATREST_ACTION_OPTIONS"
case $ATREST_ACTION_FAIL_ON in
  never) options+=(--exit-zero) ;;
  *) options+=(--fail-on "$ATREST_ACTION_FAIL_ON") ;;
esac

program=(atrest)
out=$dir
if [ -n "$ATREST_ACTION_IMAGE" ]; then
  out=/work
  # The file system is only read but for the reports, which belong to whoever runs this.
  program=(docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges
    --user "$(id -u):$(id -g)" --volume "$dir:/work")
  while IFS= read -r name; do program+=(--env "$name"); done < <(compgen -e | grep '^AWS_' || true)
  program+=("$ATREST_ACTION_IMAGE")
fi

code=0
"${program[@]}" scan --no-progress --format "json=$out/scan.json" --format "sarif=$out/scan.sarif" \
  --format "html=$out/scan.html" --format markdown "${options[@]}" >>"${GITHUB_STEP_SUMMARY:-/dev/stdout}" || code=$?
echo "exit-code=$code" >>"$GITHUB_OUTPUT"
if [ -f "$dir/scan.sarif" ]; then echo "sarif=$dir/scan.sarif" >>"$GITHUB_OUTPUT"; fi
exit "$code"
