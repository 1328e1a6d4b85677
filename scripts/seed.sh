#!/usr/bin/env bash
# Gives a fresh clone the compiled dependencies of another clone on this machine, so that it compiles only Conductor.
#
# Clones must not share one target folder. Cargo tells a crate of the workspace by its path inside the workspace and by
# the times of its files, so a clone whose files are older than the last build of another clone is taken for built, and
# runs the other one's code. Dependencies are told by name, version and features, and may be copied safely: everything
# that is named after Conductor stays behind, and so do test programs.
#
# Does nothing when the folder is there already, or there is no other, or it is in use: cargo then compiles as usual.
set -euo pipefail

CACHE=${CONDUCTOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/conductor}
TARGET=${CARGO_TARGET_DIR:?scripts/seed.sh is called by make, which sets it}
[ ! -e "$TARGET" ] || exit 0
case $TARGET in "$CACHE"/target-*) ;; *) exit 0 ;; esac   # a folder that someone chose is theirs to fill

stage=$TARGET.tmp.$$
trap 'rm -rf "$stage"' EXIT

# Copies one profile of another clone's folder. Cargo holds that lock while it writes there. The times must be kept to
# the nanosecond: cargo compares them.
copy_dependencies() { # folder, profile
  exec 9<"$1/$2/.cargo-lock"
  flock --shared --nonblock 9 || return 0
  (cd "$1" && find "$2" \( -name '*conductor*' -o -name incremental \) -prune \
    -o -path '*/deps/*' -type f -perm /111 ! -name '*.*' -prune \
    -o ! -type d -path "$2/*/*" -print0 | tar --format=posix --null --no-recursion -T - -cf -) | tar -C "$stage" -xf -
}

while IFS= read -r from; do
  [[ $from != *.tmp.* ]] || continue
  mkdir -p "$stage"
  for profile in debug dist; do
    [ -e "$from/$profile/.cargo-lock" ] || continue
    (copy_dependencies "$from" "$profile") || rm -rf "${stage:?}/$profile"
  done
  [ -n "$(ls "$stage")" ] || continue
  mv "$stage" "$TARGET"
  echo "conductor: dependencies already compiled by another clone were copied into $TARGET" >&2
  break
done < <(ls -td "$CACHE"/target-* 2>/dev/null)
