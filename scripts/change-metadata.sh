#!/usr/bin/env bash
# Checks that the description of a change, on stdin, says its size, area and risk as CONTRIBUTING.md asks. Exit code 1
# and one line a fault otherwise. The text comes from outside: it is only compared, never printed or run.
set -euo pipefail

SIZES='patch|minor|major'
AREAS='shared|agent|signer|tui|policies|runbooks|tests|deploy|docs|build'
RISKS='low|medium|high'

text=$(tr -d '\r' | sed 's/[[:space:]]*$//')
faults=0
want() { # key, pattern, what is expected
  local count
  count=$(grep -cE "^$1:" <<<"$text" || true)
  if [ "$count" != 1 ]; then
    echo "change-metadata: want one line '$1: $3', found $count" >&2
  elif ! grep -qE "^$1: +($2)\$" <<<"$text"; then
    echo "change-metadata: the line '$1:' must read '$1: $3'" >&2
  else
    return 0
  fi
  faults=$((faults + 1))
}

want Change "$SIZES" "${SIZES//|/ | }"
want Area "($AREAS)(, *($AREAS))*" "one or more of ${AREAS//|/, }"
want Risk "($RISKS), .{12,}" "${RISKS//|/ | }, and one sentence on what could go wrong"
[ "$faults" = 0 ]
