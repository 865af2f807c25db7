#!/usr/bin/env bash
# Server, agent and a webhook receiver on this machine, in a temporary directory, on loopback. Ctrl-C ends it.
# ATREST_DEMO_EXIT=1 leaves after the summary. Called by `make demo`, which builds first.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${ATREST_BIN_DIR:-${CARGO_TARGET_DIR:-target}/debug}
state=$(mktemp -d "${TMPDIR:-/tmp}/atrest-demo.XXXXXX")
started=()

cleanup() {
    trap - EXIT INT TERM
    for pid in "${started[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "${started[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$state"
}
trap cleanup EXIT
trap 'echo; echo "Stopping."; exit 0' INT TERM

fail() {
    echo "demo: $1" >&2
    for log in "$state"/*.log; do
        echo "--- $(basename "$log")" >&2
        tail -n 20 "$log" >&2 || true
    done
    exit 1
}

# Waits until a command succeeds, as long as the process that it depends on lives, at most 30 seconds.
wait_for() {
    local what=$1 pid=$2
    shift 2
    local deadline=$((SECONDS + 30))
    until "$@" >/dev/null 2>&1; do
        kill -0 "$pid" 2>/dev/null || fail "$what ended"
        [ "$SECONDS" -lt "$deadline" ] || fail "$what was not ready within 30 seconds"
        read -r -t 0.2 <> <(:) || true
    done
}

# A port that nobody listens on now.
free_port() {
    local port
    for port in $(seq "$1" "$(($1 + 200))"); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    fail "no free port on 127.0.0.1"
}

agents=$(free_port 7443)
operators=$(free_port $((agents + 1)))
hook=$(free_port $((operators + 1)))

heading() { printf '\n\033[1m%s\033[0m\n' "$1"; }
[ -t 1 ] || heading() { printf '\n%s\n' "$1"; }

mkdir -p "$state/server" "$state/agent"
chmod 700 "$state" "$state/server" "$state/agent"
(umask 077; echo "whsec_$(head -c 32 /dev/urandom | base64 | tr -d '\n')" >"$state/webhook.secret")

cat >"$state/server.toml" <<TOML
state_dir = "$state/server"

[agents]
listen = "127.0.0.1:$agents"
public_address = "127.0.0.1:$agents"

[operators]
listen = "127.0.0.1:$operators"

[[notify.webhook]]
name = "demo"
url = "http://127.0.0.1:$hook/"
secret_file = "$state/webhook.secret"
TOML
cat >"$state/agent.toml" <<TOML
state_dir = "$state/agent"
# The root file system stands in for a node's data where no Elasticsearch runs.
paths = ["/"]
TOML

export ATREST_SERVER="https://localhost:$operators"
export ATREST_CA="$state/server/ca.pem"
export ATREST_TOKEN_FILE="$state/server/admin.token"
ctl="$bin/atrestctl"
agent="$bin/atrest-agent"

"$ctl" webhook listen --port "$hook" --secret-file "$state/webhook.secret" >"$state/webhook.log" 2>&1 &
receiver=$!
started+=("$receiver")
"$bin/atrest-server" serve --config "$state/server.toml" >"$state/server.log" 2>&1 &
server=$!
started+=("$server")
wait_for "atrest-server" "$server" "$ctl" status

token=$("$ctl" token create --cluster demo | head -n 1)
"$agent" --config "$state/agent.toml" enroll "$token" >"$state/enroll.log" 2>&1 || fail "enrolment"
"$agent" --config "$state/agent.toml" run >"$state/agent.log" 2>&1 &
daemon=$!
started+=("$daemon")

reported() { "$ctl" nodes --format json | grep -q '"sequence": *"\{0,1\}[1-9]'; }
wait_for "atrest-agent" "$daemon" reported

heading "This host, as its agent sees it (atrest-agent scan)"
"$agent" --config "$state/agent.toml" scan || true
[ "$(id -u)" = 0 ] || echo "This ran without root: what it could not see is unknown, and says so."

heading "The fleet, as its server holds it (atrestctl status, nodes)"
"$ctl" status
"$ctl" nodes

heading "What fails (atrestctl findings)"
"$ctl" findings

heading "The alerts (atrestctl alerts), and what the webhook received"
"$ctl" alerts
firing() { "$ctl" alerts --format json | grep -q '"alert_id"'; }
if firing; then
    wait_for "the webhook" "$receiver" grep -q firing "$state/webhook.log"
    cat "$state/webhook.log"
else
    echo "Nothing is unencrypted here, so nothing was sent."
fi

heading "To look further, in another terminal"
cat <<TEXT
  export ATREST_SERVER=$ATREST_SERVER ATREST_CA=$ATREST_CA ATREST_TOKEN_FILE=$ATREST_TOKEN_FILE
  $ctl node $(hostname)
  $agent check --format json /
  $agent --config $state/agent.toml status
  tail -f $state/server.log $state/agent.log
TEXT
if [ "${ATREST_DEMO_EXIT:-}" = 1 ]; then
    exit 0
fi
echo
echo "Running. Ctrl-C stops it and removes $state."
wait "$server" || fail "atrest-server ended"
