#!/usr/bin/env bash
# Prints the folder of the Python package that tests/duckdb/requirements.txt names, for PYTHONPATH. It is brought into the
# cache once, by pip, which takes only what has the digests that are written there. Needs no terminal.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
list=$root/tests/duckdb/requirements.txt
CACHE=${CONDUCTOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/conductor}
OUT=$CACHE/tools/duckdb-$(sha256sum "$list" | cut -c1-16)-$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')

if [ ! -d "$OUT" ]; then
  mkdir -p "$CACHE/tools"
  exec 9>"$CACHE/duckdb.lock"
  flock 9
fi
if [ ! -d "$OUT" ]; then
  stage=$OUT.tmp.$$
  trap 'rm -rf "$stage"' EXIT
  python3 -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    --target "$stage" -r "$list" </dev/null >&2 || {
    echo "conductor: pip could not bring the package of tests/duckdb/requirements.txt (its words are above); set" \
      "PIP_INDEX_URL to an index that this machine reaches, then run this again" >&2
    exit 1
  }
  mv "$stage" "$OUT"
  echo "conductor: DuckDB for the bench was brought into the cache" >&2
fi
echo "$OUT"
