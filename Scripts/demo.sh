#!/bin/bash
# Runs the examples on real input and checks what they do. `make demo` builds them first.
set -euo pipefail
cd "$(dirname "$0")/.."
programs=$(swift build -c release --show-bin-path)
scratch=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
    rm -rf "$scratch"
}
trap finish EXIT

say() { printf '\n== %s\n' "$*"; }
fail() {
    echo "demo: $*" >&2
    exit 1
}

say "hello: three coroutines at once, on the event loop"
"$programs/hello" | tee "$scratch/hello"
[ "$(head -6 "$scratch/hello" | tr '\n' ' ')" = "One One One Two Two Two " ] || fail "hello printed something else"

say "hello --sync: the same, one after the other"
"$programs/hello" --sync

say "sleepers: a million coroutines that sleep at once"
"$programs/sleepers"

say "echo-server: sends back README.md"
"$programs/echo-server" --host 127.0.0.1 --port 0 >"$scratch/server" &
server=$!
for _ in $(seq 100); do
    grep -q '^listening on' "$scratch/server" && break
    kill -0 "$server" 2>/dev/null || fail "the server did not start"
    sleep 0.05
done
port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$scratch/server")
[ -n "$port" ] || fail "the server did not say where it listens"
cat "$scratch/server"
# Only OpenBSD's nc has -N, which half-closes at the end of the input; others would wait for ever.
if nc -h 2>&1 | grep -q -- '-N'; then
    echo "sending README.md with nc"
    timeout 10 nc -N 127.0.0.1 "$port" <README.md >"$scratch/echo" || fail "nc failed"
else
    echo "no nc here: sending README.md with echo-client"
    timeout 10 "$programs/echo-client" --port "$port" <README.md >"$scratch/echo" || fail "echo-client failed"
fi
cmp README.md "$scratch/echo" || fail "the echo differs from README.md"
echo "the echo is identical: $(wc -c <"$scratch/echo") bytes"
echo "stopping the server with SIGTERM"
kill -TERM "$server"
status=0
wait "$server" || status=$?
server=
tail -n +2 "$scratch/server"
[ "$status" -eq 0 ] || fail "the server ended with status $status"
echo "it ended with status 0"
