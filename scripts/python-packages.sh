#!/usr/bin/env bash
# Prints the folder of the Python packages that tests/NAME/requirements.txt names, for PYTHONPATH. They are brought into
# the cache once, by pip, which takes only what has the digests that are written there. Needs no terminal.
#   python-packages.sh openfeature    an OpenFeature client
#   python-packages.sh openapi        a checker of OpenAPI documents, and what makes a client from one
set -euo pipefail

name=${1:?expected the name of a folder of tests/ that has a requirements.txt}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
list=$root/tests/$name/requirements.txt
CACHE=${CONDUCTOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/conductor}
OUT=$CACHE/tools/$name-$(sha256sum "$list" | cut -c1-16)

if [ ! -d "$OUT" ]; then
  mkdir -p "$CACHE/tools"
  exec 9>"$CACHE/$name.lock"
  flock 9
fi
if [ ! -d "$OUT" ]; then
  stage=$OUT.tmp.$$
  trap 'rm -rf "$stage"' EXIT
  # Wheels alone: nothing is compiled here.
  python3 -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    --root-user-action ignore --target "$stage" -r "$list" </dev/null >&2 || {
    echo "conductor: pip could not bring the packages of tests/$name/requirements.txt (its words are above); set" \
      "PIP_INDEX_URL to an index that this machine reaches, then run this again" >&2
    exit 1
  }
  mv "$stage" "$OUT"
  echo "conductor: the Python packages of tests/$name were brought into the cache" >&2
fi
echo "$OUT"
