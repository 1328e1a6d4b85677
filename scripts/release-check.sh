#!/usr/bin/env bash
# Every test on a machine that is busy: the whole suite twice at the same time, then once beside stress-ng. Nothing that
# the tests promise depends on how long it takes. `make release-check` builds first, and calls this with the environment.
#
#   scripts/release-check.sh [arguments of cargo test]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

LOGS=$(mktemp -d "${TMPDIR:-/tmp}/conductor-release-check.XXXXXX")
SUITE=(cargo test --workspace --locked --no-fail-fast "$@")
JOBS=()
# Our own children only, by their ids.
trap 'for job in "${JOBS[@]}"; do kill "$job" 2>/dev/null || true; done' EXIT

# Waits for a suite. When it failed its whole output is said.
ended() {
  local name=$1 job=$2
  if wait "$job"; then
    echo "release-check: $name: $(grep -c '^test .* ok$' "$LOGS/$name") tests passed"
  else
    cat "$LOGS/$name"
    echo "release-check: $name failed; its output is above and in $LOGS/$name" >&2
    return 1
  fi
}

begin() {
  "${SUITE[@]}" > "$LOGS/$1" 2>&1 &
  JOBS+=($!)
}

begin first
begin second
failed=
ended first "${JOBS[0]}" || failed=yes
ended second "${JOBS[1]}" || failed=yes

stress-ng --cpu 4 --quiet &
JOBS+=($!)
begin beside-stress
ended beside-stress "${JOBS[3]}" || failed=yes

[ -z "$failed" ] || exit 1
rm -rf "$LOGS"
