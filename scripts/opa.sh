#!/usr/bin/env bash
# Prints the path of an `opa` program of version 1.21.3 or later: older ones accept a bundle whose signatures were
# stripped. The checks of policies/ and the tests with a real OPA server need it; the agent itself does not.
#
#   OPA=$(scripts/opa.sh)
#
# It takes the `opa` on PATH when that is new enough, else the one in the cache, else it compiles one into the cache
# with Go. When no Go is here, it gets one from the Go module proxy (GOPROXY), as the module golang.org/toolchain whose
# digest is pinned below. It needs no terminal and no input. All that it says goes to stderr.
set -euo pipefail

OPA_VERSION=1.21.3   # the oldest that is accepted, and the one that is compiled
GO_VERSION=1.26.8    # fetched only when no Go is here; must be at least what OPA's go.mod asks for
CACHE=${CONDUCTOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/conductor}
OUT=$CACHE/tools/bin/opa

say() { echo "conductor: $*" >&2; }
fail() { say "$*"; exit 1; }
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# Whether the program runs and is new enough. A release candidate of the oldest version is older than it.
new_enough() {
  local found
  found=$("$1" version </dev/null 2>/dev/null | sed -n 's/^Version: //p') || return 1
  [[ $found =~ ^[0-9]+\.[0-9]+\.[0-9]+ ]] || return 1
  [ "$found" = "$OPA_VERSION" ] || { at_least "$OPA_VERSION" "${found%%-*}" && [ "${found%%-*}" != "$OPA_VERSION" ]; }
}

ON_PATH=$(command -v opa || true)
for opa in "$ON_PATH" "$OUT"; do
  if [ -n "$opa" ] && [ -x "$opa" ] && new_enough "$opa"; then
    echo "$opa"
    exit 0
  fi
done

mkdir -p "$CACHE/tools/bin"
exec 9>"$CACHE/opa.lock"
flock 9   # two builds at once would take twice as long and win nothing
if [ -x "$OUT" ] && new_enough "$OUT"; then
  echo "$OUT"
  exit 0
fi

STAGE=$CACHE/build-opa
BY_HAND="install OPA $OPA_VERSION or later by hand and put it on PATH as opa, or set GOPROXY to a Go module proxy that \
this machine reaches, then run this again"

# Folders of modules are read-only, so that `rm -rf` alone cannot empty them.
clean() { [ ! -e "$STAGE" ] || { chmod -R u+w "$STAGE" && rm -rf "$STAGE"; }; }
trap clean EXIT
clean
mkdir -p "$STAGE/bin"
started=$SECONDS

# The first of the proxies that is a URL; the words direct and off are not.
proxy() {
  local named=${GOPROXY:-} one
  [ -n "$named" ] || named=$(go env GOPROXY 2>/dev/null || true)
  for one in ${named//[,|]/ } https://proxy.golang.org; do
    case $one in http://*|https://*) echo "${one%/}"; return ;; esac
  done
}

# A Go since 1.21 fetches by itself the newer one that a module asks for, unless it is told not to (GOTOOLCHAIN=local).
GO=$(command -v go || true)
if [ -n "$GO" ]; then
  found=$("$GO" env GOVERSION 2>/dev/null </dev/null || true)
  found=${found#go}
  found=${found%% *}
  at_least 1.21 "${found:-0}" || GO=
fi
if [ -z "$GO" ]; then
  case $(uname -s)-$(uname -m) in
    Linux-x86_64)  platform=linux-amd64 digest=30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7 ;;
    Linux-aarch64) platform=linux-arm64 digest=02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99 ;;
    *)             fail "no Go since 1.21 here, and none known for $(uname -s) $(uname -m): $BY_HAND" ;;
  esac
  name=v0.0.1-go$GO_VERSION.$platform
  say "fetching Go $GO_VERSION once to compile OPA (about 70 MB)"
  curl -fsSL --retry 3 --connect-timeout 20 --max-time 600 -o "$STAGE/go.zip" \
    "$(proxy)/golang.org/toolchain/@v/$name.zip" </dev/null >&2 ||
    fail "the Go module proxy gave no Go (curl's words are above): $BY_HAND"
  echo "$digest  $STAGE/go.zip" | sha256sum --check --status ||
    fail "the Go that the proxy gave is not the one that is pinned in scripts/opa.sh, it is not used: $BY_HAND"
  if command -v unzip >/dev/null; then
    unzip -q "$STAGE/go.zip" -d "$STAGE" </dev/null >&2 || fail "the Go from the proxy does not unpack: $BY_HAND"
  else
    python3 -m zipfile -e "$STAGE/go.zip" "$STAGE" </dev/null >&2 || fail "the Go from the proxy does not unpack: $BY_HAND"
  fi
  rm "$STAGE/go.zip"
  goroot=$STAGE/golang.org/toolchain@$name
  chmod -R u+x "$goroot/bin" "$goroot/pkg/tool"   # a module holds no file modes
  GO=$goroot/bin/go
  export GOTOOLCHAIN=local
fi

say "compiling OPA $OPA_VERSION once for this machine (about 2 minutes on 2 cores) into $OUT"
# Only the settings below count, not those that this machine's users set for their own work. The caches are aside,
# because half a gigabyte of objects that nobody needs again would stay behind.
env -u GOOS -u GOARCH -u GOEXPERIMENT GOFLAGS= GOWORK=off GOTELEMETRY=off GIT_TERMINAL_PROMPT=0 \
  GOTOOLCHAIN="${GOTOOLCHAIN:-auto}" CGO_ENABLED=0 GOBIN="$STAGE/bin" GOPATH="$STAGE/path" GOCACHE="$STAGE/cache" \
  "$GO" install -trimpath -ldflags='-s -w' "github.com/open-policy-agent/opa@v$OPA_VERSION" </dev/null 9>&- >&2 ||
  fail "OPA did not compile (Go's words are above). When it could not reach its module proxy: $BY_HAND"
new_enough "$STAGE/bin/opa" || fail "the OPA that was compiled does not run as version $OPA_VERSION: $BY_HAND"
mv -f "$STAGE/bin/opa" "$OUT"
say "OPA compiled in $((SECONDS - started)) s"
echo "$OUT"
