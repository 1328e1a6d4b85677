#!/usr/bin/env bash
# The demo, against real processes: a signer, an agent, and the plain commands of the console. It prints each step with
# its receipts, and opens the console at the end when there is a terminal. Everything lives in a scratch folder that is
# removed afterwards; the processes are stopped however it ends.
#
#   CONDUCTOR_BIN_DIR       folder of conductor, conductord and conductor-signer (make demo sets it)
#   CONDUCTOR_WFINSTANCES   folder of recorded workflow runs; made-up ones are played without it
#   CONDUCTOR_DEMO_KEEP     keep the scratch folder
#   CONDUCTOR_DEMO_BATCH    do not open the console
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${CONDUCTOR_BIN_DIR:?"set CONDUCTOR_BIN_DIR to the folder of conductor, conductord and conductor-signer (make demo does)"}
records=${CONDUCTOR_WFINSTANCES:-$root/../shared/data/wfinstances}
for program in conductor conductord conductor-signer; do
  [ -x "$bin/$program" ] || { echo "demo: $bin/$program is not there: run make demo" >&2; exit 2; }
done

umask 077
scratch=$(mktemp -d "${TMPDIR:-/tmp}/conductor-demo.XXXXXX")
agent_socket=$scratch/agent.sock
operator_socket=$scratch/operator.sock
signer_socket=$scratch/signer.sock
if [ "${#operator_socket}" -gt 100 ]; then
  rmdir "$scratch"
  echo "demo: $scratch is too long for a unix socket (107 bytes): set TMPDIR to a shorter folder" >&2
  exit 2
fi
signer_pid=
agent_pid=

stop() { # PID: asks it to stop, waits 10 s, then insists
  local pid=$1 n
  [ -n "$pid" ] || return 0
  kill -TERM "$pid" 2>/dev/null || true
  for n in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

finish() {
  local code=$?
  trap - EXIT INT TERM HUP
  stop "$agent_pid"
  stop "$signer_pid"
  if [ "$code" -ne 0 ]; then
    echo "demo: failed (exit $code)" >&2
    for log in "$scratch"/agent.log "$scratch"/signer.log; do
      [ -s "$log" ] && { echo "--- last lines of ${log##*/}" >&2; tail -n 20 "$log" | tr -cd '[:print:]\n\t' >&2; }
    done
  fi
  if [ -n "${CONDUCTOR_DEMO_KEEP:-}" ]; then
    echo "kept: $scratch"
  else
    rm -rf "$scratch"
  fi
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

step_number=0
step() {
  step_number=$((step_number + 1))
  printf '\n=== %s. %s\n' "$step_number" "$*"
}

# What a console remembers of its nodes goes with the scratch folder.
export XDG_STATE_HOME=$scratch/state

run() { # shows a command, without the paths of this machine, and runs it
  local shown="$*"
  shown=${shown//$scratch/\$scratch}
  shown=${shown//$records/\$records}
  printf '$ conductor %s\n' "$shown"
  "$bin/conductor" "$@"
}

expect() { # CODE ARGUMENTS: the same, and the exit code must be this one
  local want=$1 got=0
  shift
  run "$@" || got=$?
  if [ "$got" -ne "$want" ]; then
    echo "demo: expected exit code $want and got $got" >&2
    exit 1
  fi
  printf '(exit code %s, as expected)\n' "$got"
}

start_signer() {
  "$bin/conductor-signer" run --dir "$scratch/signer" --socket "$signer_socket" >>"$scratch/signer.log" 2>&1 &
  signer_pid=$!
}

alive() { # NAME PID
  kill -0 "$2" 2>/dev/null || { echo "demo: $1 has ended" >&2; exit 1; }
}

wait_ready() {
  local n
  for n in $(seq 3000); do
    alive conductord "$agent_pid"
    alive conductor-signer "$signer_pid"
    if "$bin/conductor" node --json 2>/dev/null | grep -q '"ready": true'; then
      return 0
    fi
    sleep 0.1
  done
  echo "demo: the agent was not ready within five minutes" >&2
  exit 1
}

# Tries a command that needs the signer until it is taken: after an outage the agent has to see that it is back.
eventually() {
  local n
  for n in $(seq 300); do
    if "$bin/conductor" "$@" >"$scratch/eventually.out" 2>&1; then
      cat "$scratch/eventually.out"
      return 0
    fi
    sleep 1
  done
  cat "$scratch/eventually.out" >&2
  echo "demo: not done within five minutes: conductor $*" >&2
  exit 1
}

# The second person: looks at everything that waits and approves it.
ben_approves() {
  local id
  for id in $("$bin/conductor" approval list --json | sed -n 's/.*"command_id": "\([0-9a-f]*\)".*/\1/p'); do
    run --key "$scratch/ben" approval show "$id"
    run --key "$scratch/ben" approval give "$id"
  done
}

# Waits for a sentence of a command: what the agent does by itself takes a moment.
until_says() { # PATTERN ARGUMENTS
  local want=$1 n
  shift
  for n in $(seq 600); do
    if "$bin/conductor" "$@" 2>/dev/null | grep -q -- "$want"; then
      return 0
    fi
    sleep 0.5
  done
  echo "demo: not seen within five minutes: $want, in: conductor $*" >&2
  exit 1
}

export CONDUCTOR_AGENT=unix:$operator_socket CONDUCTOR_WORKLOAD_AGENT=unix:$agent_socket
export CONDUCTOR_KEY=$scratch/ana

step "Keys: the signer's, and those of two operators (without passwords: this is a rehearsal)"
"$bin/conductor-signer" init --dir "$scratch/signer" --unencrypted
run key new --out "$scratch/ana" --unencrypted
run key new --out "$scratch/ben" --unencrypted

step "A node: demo-1, rehearsal, with ana and ben as its first operators"
mkdir "$scratch/config"
"$bin/conductord" init --config "$scratch/config/conductord.toml" --data "$scratch/data" --keys "$scratch/keys" \
  --name demo-1 --environment rehearsal --signer-key "$scratch/signer/signer.pub" --signer-socket "$signer_socket" \
  --listen "unix:$agent_socket" --listen-operators "unix:$operator_socket" --operator "ana=$scratch/ana.pub" --operator "ben=$scratch/ben.pub" \
  --trust-out "$scratch/trust.toml"
# Ten seconds between two judgements are long to watch.
printf '\n[slo]\nevaluate_ms = 1000\nbake_seconds = 5\n' >>"$scratch/config/conductord.toml"
# Metered events go into files, too.
printf '\n[[sink]]\nname = "tape"\nfolder = "%s"\n' "$scratch/events" >>"$scratch/config/conductord.toml"
start_signer
"$bin/conductord" run --config "$scratch/config/conductord.toml" >"$scratch/agent.log" 2>&1 &
agent_pid=$!
wait_ready
run node

step "Three tenants, each with quotas, a workflow type and a token"
for tenant in acme globex initech; do
  run tenant create "$tenant" --yes --reason "demo: a new tenant"
  run quota set "$tenant" concurrent_runs 20 --reason "demo: a small node"
  run workflow register "$tenant" etl --yes --reason "demo: its one workflow"
  run token issue "$tenant" replay --out "$scratch/$tenant.token" --yes --reason "demo: for the replay"
done
run quota set initech step_rate 40 --reason "demo: a slow tenant"
run quota set initech step_burst 20 --reason "demo: a slow tenant"
run tenant list

# A day that is not near, so that the demo itself is never frozen.
day=$(LC_ALL=C date -u -d '+3 days' +%a | tr '[:upper:]' '[:lower:]')
step "A policy profile for acme, with a freeze once a week: it takes a second person"
run profile create careful --yes --reason "demo: what acme asked for"
run profile window careful quiet "weekly $day 08:00 for 10h00m Europe/Berlin" --reason "demo: no changes on that day"
run profile assign acme careful --yes --reason "demo: what acme asked for"
ben_approves
run profile list

step "A ramp: acme's etl is open to 10 % of subjects"
run ramp set acme run/etl 10 --yes --reason "demo: careful rollout"
run ramp show acme

step "A hundred runs of acme: some are let in, the others are denied with their reason"
run slo set acme run/etl --min-settled 1 --yes --reason "demo: 200 runs are long to watch"
expect 1 replay --generate 100 --tenant acme --workflow etl --token-file "$scratch/acme.token" \
  --speed max --subject-prefix user-
until_says healthy slo show acme

step "A loosening asks first: what 50 % would do, by the last hour's requests; then it is done"
run ramp set acme run/etl 50 --reason "demo: it looks healthy" --dry-run
run ramp set acme run/etl 50 --reason "demo: it looks healthy" --yes

step "It was not: three runs in ten fail, the ramp falls by itself, and the incident is on the timeline"
expect 1 replay --generate 120 --seed 3 --tenant acme --workflow etl --token-file "$scratch/acme.token" \
  --speed max --subject-prefix user- --fail 30
until_says auto-rollback incident list acme
run slo show acme
run ramp show acme
incident=$("$bin/conductor" incident list acme --json | sed -n 's/.*"incident": "\([0-9a-f]*\)".*/\1/p' | head -n 1)
run incident show "$incident"
echo "(to where it fell from it goes by an override only)"
expect 1 ramp set acme run/etl 50 --reason "demo: once more" --yes
run incident ack "$incident" --comment "demo: looking at it"
run incident close "$incident" --comment "demo: the new etl was taken back"
run timeline --tenant acme

step "Workflow runs of globex, as they were recorded, with time passing a thousand times as fast"
if compgen -G "$records/*.json" >/dev/null; then
  run replay "$records"/*.json --tenant globex --workflow etl --token-file "$scratch/globex.token" --speed 1000
else
  echo "(no recorded runs in $records: made-up ones instead)"
  run replay --generate 8 --tenant globex --workflow etl --token-file "$scratch/globex.token" --speed 100
fi

step "A tenant at its quota: initech is told to wait, waits, and loses nothing"
run replay --generate 6 --seed 7 --tenant initech --workflow etl --token-file "$scratch/initech.token" --speed max

step "A kill switch: nothing new starts; draining lets open runs go on"
run kill set initech run/etl --reason "demo: stop it"
expect 1 replay --generate 1 --tenant initech --workflow etl --token-file "$scratch/initech.token" --speed max
run kill clear initech run/etl --reason "demo: found out why" --yes

step "The signer is gone: nothing can be loosened, and everything can still be tightened"
stop "$signer_pid"
signer_pid=
expect 1 ramp set acme run/etl 20 --reason "demo: not now" --yes
run ramp set acme run/etl 5 --reason "demo: safer, and no signer is needed for that"
start_signer
echo "(the signer is back)"
eventually ramp set acme run/etl 10 --reason "demo: back to the plan" --yes

step "Usage: runs, steps, receipts and storage of each tenant, counted again from the receipts"
for tenant in acme globex initech; do
  run usage show "$tenant" --range 24h
  run usage recount "$tenant"
done

step "Cost: a rate card that the billing key signed, what globex comes to, and where that comes from"
run key new --out "$scratch/billing" --unencrypted
run rate trust "$scratch/billing.pub" --yes --reason "demo: whose prices are believed"
ben_approves
cat >"$scratch/prices.toml" <<CARD
# conductor/rate-card/v1
version = 1
currency = "EUR"
decimals = 6
effective_from = "$(date -u +%Y-01-01)T00:00:00Z"
compute_hour = 120000
storage_gb_month = 20000
signing_million = 500000
CARD
run rate check "$scratch/prices.toml"
run --key "$scratch/billing" rate sign "$scratch/prices.toml"
run rate load "$scratch/prices.toml" --yes --reason "demo: this year's prices"
run cost show globex --range 24h
run cost explain globex --range 24h --bucket compute | head -n 12
run usage correct globex --add "step_executed $(date -u +%Y-%m-%dT%H:00:00Z) rehearsal service etl 1 3600000000" --yes \
  --reason "demo: an hour that was not metered; it counts in the hour that it belongs to"
run cost show globex --range 24h
run export cost globex --range "$(date -u +%Y-%m)" --format focus --out "$scratch/focus.csv"
head -n 2 "$scratch/focus.csv" | cut -c1-160
run sink list
echo "the first event that left, as a CloudEvent:"
head -n 1 "$scratch/events/"*-000001.jsonl

step "Receipts: of every answer and every change"
run receipts list acme --last 12
run receipts list node --last 8

step "Proof, offline: an export and one receipt, under the trust file that init wrote"
for tenant in acme globex; do
  # A log is signed about a second after its newest receipt: until then the newest proves nothing.
  for n in $(seq 600); do
    rm -f "$scratch/$tenant.jsonl"
    "$bin/conductor" receipts export "$tenant" --out "$scratch/$tenant.jsonl" >/dev/null 2>&1 &&
      "$bin/conductor" verify "$scratch/$tenant.jsonl" --trust "$scratch/trust.toml" >/dev/null 2>&1 && break
    sleep 0.5
  done
  rm -f "$scratch/$tenant.jsonl"
  run receipts export "$tenant" --out "$scratch/$tenant.jsonl"
  expect 0 verify "$scratch/$tenant.jsonl" --trust "$scratch/trust.toml"
done
run receipts show acme 3 --proof --out "$scratch/receipt.json"
expect 0 verify "$scratch/receipt.json" --trust "$scratch/trust.toml"

step "The same with one entry left out, and under another key: refuted, and not confirmed"
sed 3d "$scratch/acme.jsonl" >"$scratch/forged.jsonl"
expect 3 verify "$scratch/forged.jsonl" --trust "$scratch/trust.toml"
node_id=$("$bin/conductor" node --json | sed -n 's/.*"node_id": "\([0-9a-f]*\)".*/\1/p' | head -n 1)
sed "s/$node_id/00000000000000000000000000000000/" "$scratch/trust.toml" >"$scratch/other.toml"
expect 4 verify "$scratch/acme.jsonl" --trust "$scratch/other.toml"

step "A checkpoint that stock minisign verifies"
run checkpoint globex --out "$scratch/globex.checkpoint"
expect 0 verify "$scratch/globex.checkpoint" --trust "$scratch/trust.toml"
if command -v minisign >/dev/null; then
  minisign -V -p "$scratch/signer/signer.pub" -m "$scratch/globex.checkpoint"
else
  echo "(minisign is not installed)"
fi

if [ -z "${CONDUCTOR_DEMO_BATCH:-}" ] && [ -t 0 ] && [ -t 1 ]; then
  step "The console (leave it with q)"
  "$bin/conductor"
fi
printf '\nThe demo is done: %s steps.\n' "$step_number"
