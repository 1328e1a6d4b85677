#!/usr/bin/env bash
# The dependency gate: licences, bans and sources always; advisories whenever the advisory database can be reached.
# A site without a network must be able to pass the gate, and must be told in plain words what was not looked at.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

FETCH_LIMIT_S=120

cargo deny --locked check --hide-inclusion-graph licenses bans sources

# Fetching and judging are two steps, so that an advisory found can never pass for a database out of reach.
if GIT_TERMINAL_PROMPT=0 timeout "$FETCH_LIMIT_S" cargo deny --locked fetch db </dev/null; then
  cargo deny --offline --locked check advisories
else
  echo "deny: ADVISORIES WERE NOT CHECKED: the advisory database is out of reach from here." >&2
  echo "deny: run  make deny  on a machine with a network before a release." >&2
fi
