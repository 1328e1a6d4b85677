#!/usr/bin/env bash
# Compiles RocksDB once per machine into a cache folder outside the checkout, so that no profile, clone or CI run
# compiles it again. Prints, as shell assignments, the environment that cargo needs to link it.
#
#   eval "$(scripts/rocksdb.sh)"
#
# The folder is keyed by all that changes the result: crate version, compiler, target and CPU features. It is built
# aside and renamed when it is whole, so a build that was interrupted is never mistaken for one that finished.
set -euo pipefail

SYS_VERSION=0.19.0+11.8.1   # librocksdb-sys; must be the one Cargo.lock names (a test compares them)
CACHE=${CONDUCTOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/conductor}
HOST=$(rustc -vV | sed -n 's/^host: //p')
CXX_VERSION=$(${CXX:-c++} -dumpfullversion 2>/dev/null || echo none)
# Portable among servers: SSE4.2 and PCLMUL (x86-64 since 2010), CRC and AES (ARMv8). Without them RocksDB computes the
# checksum of every WAL record in tables, which costs more than the write.
case $HOST in
  x86_64-*)  FEATURES=+sse4.2,+pclmulqdq ;;
  aarch64-*) FEATURES=+crc,+aes ;;
  *)         FEATURES= ;;
esac
KEY="rocksdb-sys-${SYS_VERSION}-cxx${CXX_VERSION}-${HOST}-${FEATURES//[+,]/_}"
OUT=$CACHE/$KEY

if [ ! -f "$OUT/librocksdb.a" ]; then
  mkdir -p "$CACHE"
  exec 9>"$CACHE/rocksdb.lock"
  flock 9   # two builds at once would take twice as long and win nothing
fi
if [ ! -f "$OUT/librocksdb.a" ]; then
  started=$SECONDS
  echo "conductor: compiling RocksDB once for this machine (about 20 minutes on 2 cores) into $OUT" >&2
  work=$CACHE/build-rocksdb
  mkdir -p "$work/src"
  : >"$work/src/lib.rs"
  cat >"$work/Cargo.toml" <<TOML
[package]
name = "rocksdb-once"
version = "0.0.0"
edition = "2021"
[dependencies]
librocksdb-sys = { version = "=${SYS_VERSION%%+*}", default-features = false, features = ["static", "bindgen-runtime"] }
[workspace]
[profile.release]
debug = false
TOML
  (
    cd "$work"
    unset ROCKSDB_LIB_DIR ROCKSDB_INCLUDE_DIR ROCKSDB_STATIC CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET
    export CARGO_TARGET_DIR=$work/target
    RUSTFLAGS=${FEATURES:+-Ctarget-feature=$FEATURES} cargo build --release >&2
  )
  lib=$(find "$work/target/release/build" -name librocksdb.a -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
  src=$(cd "$work" && cargo metadata --format-version 1 |
    grep -o '"manifest_path":"[^"]*librocksdb-sys[^"]*"' | head -n 1 | cut -d'"' -f4)
  stage=$OUT.tmp.$$
  rm -rf "$stage"
  mkdir -p "$stage"
  cp "$lib" "$stage/librocksdb.a"
  cp -r "$(dirname "$src")/rocksdb/include" "$stage/include"
  rm -rf "$OUT"
  mv "$stage" "$OUT"
  rm -rf "$work"
  echo "conductor: RocksDB compiled in $((SECONDS - started)) s" >&2
fi

cat <<EOT
export ROCKSDB_LIB_DIR='$OUT'
export ROCKSDB_INCLUDE_DIR='$OUT/include'
export ROCKSDB_STATIC=1
EOT
