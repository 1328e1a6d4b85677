#!/usr/bin/env bash
# Prints the folder of the Python packages that tests/prometheus/requirements.txt names, for PYTHONPATH. They are brought
# into the cache once, by pip, which takes only what has the digests that are written there. Needs no terminal.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
list=$root/tests/prometheus/requirements.txt
CACHE=${CONDUCTOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/conductor}
OUT=$CACHE/tools/prometheus-$(sha256sum "$list" | cut -c1-16)

if [ ! -d "$OUT" ]; then
  mkdir -p "$CACHE/tools"
  exec 9>"$CACHE/prometheus.lock"
  flock 9
fi
if [ ! -d "$OUT" ]; then
  stage=$OUT.tmp.$$
  trap 'rm -rf "$stage"' EXIT
  # Pure Python, whatever machine this is: one digest for each package.
  python3 -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    --platform any --implementation py --abi none --target "$stage" -r "$list" </dev/null >&2 || {
    echo "conductor: pip could not bring the packages of tests/prometheus/requirements.txt (its words are above); set" \
      "PIP_INDEX_URL to an index that this machine reaches, then run this again" >&2
    exit 1
  }
  mv "$stage" "$OUT"
  echo "conductor: the parsers of metrics for the tests were brought into the cache" >&2
fi
echo "$OUT"
