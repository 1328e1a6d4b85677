#!/usr/bin/env bash
# Brings what the build and its checks need, on a Debian 12 machine that has only Rust, git and make.
#
#   scripts/setup.sh          everything: build, tests, benches, lint, dependency gate
#   scripts/setup.sh demo     only what `make build`, `make demo` and `make dist` need
#   scripts/setup.sh test     only what `make test` needs
#   scripts/setup.sh release  what `make release-check` needs: the same, and what keeps the machine busy
#
# It looks first, says what is missing and why it is wanted, and only then installs. When nothing is missing it says
# nothing and takes well under a second, so every make target may call it. All that it says goes to stderr.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

DENY_VERSION=0.20.2   # the dependency gate; pinned, so that a new release cannot turn a green build red
CACHE=${CONDUCTOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/conductor}
SCOPE=${1:-all}
export PATH="$CACHE/tools/bin:$PATH"

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
wanted_for() { [ "$SCOPE" = all ] || [[ " $* " == *" $SCOPE "* ]]; }

BUSY=
case $SCOPE in
  all|demo|test) ;;
  release) BUSY=yes SCOPE=test ;;
  *) echo "setup: unknown scope '$SCOPE': use all, demo, test or release" >&2; exit 2 ;;
esac

# --- Look -----------------------------------------------------------------------------------------------------------

have cargo && have rustc || fail "Rust is missing (cargo and rustc): install it with rustup, then run this again"
NEEDED_RUST=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
FOUND_RUST=$(rustc -V | cut -d' ' -f2)
[ "$(printf '%s\n' "$NEEDED_RUST" "${FOUND_RUST%%-*}" | sort -V | head -n 1)" = "$NEEDED_RUST" ] ||
  fail "Rust $FOUND_RUST is too old, $NEEDED_RUST or newer is needed: run  rustup update stable"

PACKAGES=() COMPONENTS=() WHY=() DENY=

package() { PACKAGES+=("$1"); WHY+=("Debian package $1: $2"); }

# The library and the compiler headers beside it: bindgen needs both to read RocksDB's C header.
have_libclang() {
  if [ -n "${LIBCLANG_PATH:-}" ]; then return 0; fi
  local headers
  headers=$(compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h') || return 1
  [ -n "$headers" ] && compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null
}

have c++ || package g++ "compiles RocksDB once, and links the programs"
have_libclang || package libclang-dev "reads RocksDB's C header to make its Rust declarations"
have flock || package util-linux "flock, so that two builds do not compile RocksDB at the same time"
if wanted_for demo test; then
  have minisign || package minisign "the stock verifier, to check signatures with a program that is not ours"
  have tmux || package tmux "a real terminal for the console, driven by scripts"
  have python3 || package python3 "helpers of the demo and of the end-to-end tests"
fi
if wanted_for test; then
  python3 -m pip --version >/dev/null 2>&1 || package python3-pip "brings the OpenFeature client and the parser of metrics of the tests"
  [ -n "$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null)" ] \
    || package libfaketime "moves the wall clock of a real agent in the tests"
fi
if wanted_for test bench; then
  have go || have curl || package curl "fetches the Go compiler that builds OPA, a peer of the policy tests"
fi
[ -z "$BUSY" ] || have stress-ng || package stress-ng "keeps every processor busy while the tests run"
if wanted_for bench; then
  have redis-server || package redis-server "a peer in the benches; only the binary is wanted, the service stays off"
fi
if wanted_for lint; then
  cargo fmt --version >/dev/null 2>&1 || { COMPONENTS+=(rustfmt); WHY+=("rustup component rustfmt: the format check"); }
  cargo clippy --version >/dev/null 2>&1 || { COMPONENTS+=(clippy); WHY+=("rustup component clippy: the lint"); }
fi
if wanted_for deny && [ "$(cargo-deny --version 2>/dev/null)" != "cargo-deny $DENY_VERSION" ]; then
  DENY=yes
  WHY+=("cargo-deny $DENY_VERSION: licences, sources and advisories; compiled into the cache, about 3 minutes on 2 cores")
fi

# --- Say, then do ---------------------------------------------------------------------------------------------------

if [ ${#WHY[@]} -gt 0 ]; then
  say "missing, to be installed:"
  for line in "${WHY[@]}"; do say "  $line"; done
fi

# Installs the packages without letting any of them start a service: `policy-rc.d` is Debian's own switch for that. A
# service that its package enabled for the next boot is disabled again. Runs as root.
install_packages() {
  local as_root=() policy=/usr/sbin/policy-rc.d ours=
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
    ours=yes
  fi
  local code=0
  {
    "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 update -q &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
        install -q -y --no-install-recommends "${PACKAGES[@]}"
  } </dev/null >&2 || code=$?
  if [[ " ${PACKAGES[*]} " == *" redis-server "* ]] && have systemctl; then
    "${as_root[@]}" systemctl disable -q redis-server >/dev/null 2>&1 || true
  fi
  [ -z "$ours" ] || "${as_root[@]}" rm -f "$policy"
  return "$code"
}

if [ ${#PACKAGES[@]} -gt 0 ]; then
  BY_HAND="apt-get update && apt-get install -y --no-install-recommends ${PACKAGES[*]}"
  have apt-get || fail "no apt-get here: install these by the means of this system, then run this again: ${PACKAGES[*]}"
  if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
    fail "not root, and sudo wants a password. Run this as root, then run this again:  $BY_HAND"
  fi
  install_packages || fail "apt-get failed (its words are above). By hand, as root:  $BY_HAND"
fi

if [ ${#COMPONENTS[@]} -gt 0 ]; then
  have rustup || fail "no rustup here: install ${COMPONENTS[*]} for Rust $FOUND_RUST by the means of this system"
  rustup component add "${COMPONENTS[@]}" >&2 || fail "by hand:  rustup component add ${COMPONENTS[*]}"
fi

if [ -n "$DENY" ]; then
  # Its own profile spends most of its time on link-time optimisation that a check of some seconds does not repay. The
  # target folder is kept until it is done, so that an interrupted build goes on where it stopped.
  started=$SECONDS
  (
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET
    export CARGO_TARGET_DIR=$CACHE/build-cargo-deny
    export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1
    cargo install --locked --version "=$DENY_VERSION" --root "$CACHE/tools" cargo-deny </dev/null >&2
  ) || fail "by hand:  cargo install --locked --version =$DENY_VERSION --root $CACHE/tools cargo-deny"
  rm -rf "$CACHE/build-cargo-deny"
  say "cargo-deny compiled in $((SECONDS - started)) s"
fi

# A real OPA server, to test against: it says itself what it does.
if wanted_for test bench; then scripts/opa.sh >/dev/null; fi

# Python packages of tests: an OpenFeature client; what checks the OpenAPI document and makes a client from it.
if wanted_for test; then scripts/python-packages.sh openfeature >/dev/null; scripts/python-packages.sh openapi >/dev/null; fi

# The reference parsers of metrics, to read the agent's page with.
if wanted_for test; then scripts/prometheus.sh >/dev/null; fi

# RocksDB says itself that it compiles, and for how long. Its stdout is for eval by whoever runs cargo, not for people.
scripts/rocksdb.sh >/dev/null
[ ${#WHY[@]} -eq 0 ] || say "all there"
