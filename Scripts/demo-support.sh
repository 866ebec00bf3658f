# For Scripts/demo.sh, which has set `programs`: a scratch folder, servers that are started and ended, and what is claimed of them.

scratch=$(mktemp -d)
running=()
skipped=()
finish() {
    for process in "${running[@]}"; do kill -KILL "$process" 2>/dev/null || true; done
    rm -rf "$scratch"
}
trap finish EXIT

say() { printf '\n== %s\n' "$*"; }
fail() {
    echo "demo: $*" >&2
    exit 1
}
has() { command -v "$1" >/dev/null; }
skip() {
    echo "skipped: $*"
    skipped+=("$*")
}
client() { timeout 10 "$programs/echo-client" --port "$@"; }

# Runs a command until it succeeds, for five seconds.
eventually() {
    for _ in $(seq 100); do
        if "$@" 2>/dev/null; then return; fi
        sleep 0.05
    done
    fail "this did not come true: $*"
}
contains() { grep -qs -- "$1" "$2"; }

# start NAME PROGRAM ARGUMENT...: starts a server and waits until it listens. Its output is in $scratch/NAME; sets
# `server` to its process and `port` to its port.
start() {
    local name=$1 program=$2
    shift 2
    "$programs/$program" "$@" >"$scratch/$name" &
    server=$!
    running+=("$server")
    for _ in $(seq 100); do
        if contains '^listening on' "$scratch/$name"; then break; fi
        kill -0 "$server" 2>/dev/null || fail "$program did not start"
        sleep 0.05
    done
    port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$scratch/$name")
    [ -n "$port" ] || fail "$program did not say where it listens"
    cat "$scratch/$name"
}

# stop NAME PROCESS: ends a server with SIGTERM, shows what else it has printed, and checks that it ended as it should.
stop() {
    local status=0 process=$2 left=()
    kill -TERM "$process"
    wait "$process" || status=$?
    for other in "${running[@]}"; do [ "$other" = "$process" ] || left+=("$other"); done
    running=("${left[@]}")
    tail -n +2 "$scratch/$1"
    [ "$status" -eq 0 ] || fail "$1 ended with status $status"
    echo "SIGTERM ended it with status 0"
}

# refused STATUS TEXT PROGRAM ARGUMENT...: checks that a program ends with a status, and says why.
refused() {
    local wanted=$1 text=$2 program=$3 status=0
    shift 3
    timeout 10 "$programs/$program" "$@" </dev/null >"$scratch/refused" 2>&1 || status=$?
    [ "$status" -eq "$wanted" ] || fail "$program $* ended with status $status, not $wanted"
    contains "$text" "$scratch/refused" || fail "$program $* said: $(cat "$scratch/refused")"
    head -1 "$scratch/refused"
}
