#!/bin/bash
# Runs the examples on real input and checks what they do, with nothing but the examples and the shell, but for redis-server.
# `make demo` builds them first. The programs may also be somewhere else: `Scripts/demo.sh .build/debug`.
set -euo pipefail
cd "$(dirname "$0")/.."
programs=${1:-$(swift build -c release --show-bin-path)}
source Scripts/demo-support.sh

say "hello: three coroutines at once, on the event loop"
"$programs/hello" | tee "$scratch/hello"
[ "$(head -6 "$scratch/hello" | tr '\n' ' ')" = "One One One Two Two Two " ] || fail "hello printed something else"

say "hello --sync: the same, one after the other"
[ "$("$programs/hello" --sync | head -6 | tr '\n' ' ')" = "One Two One Two One Two " ] || fail "hello --sync printed something else"

say "sleepers: a million coroutines that sleep at once"
"$programs/sleepers" | tee "$scratch/sleepers"
contains '^coroutines  *1000000,' "$scratch/sleepers" || fail "sleepers did not have its million"

say "echo-server: sends back README.md"
start echo echo-server --host 127.0.0.1 --port 0
echo=$server echo_port=$port
client "$echo_port" <README.md >"$scratch/echoed" || fail "echo-client failed"
cmp README.md "$scratch/echoed" || fail "the echo differs from README.md"
echo "the echo is identical: $(wc -c <"$scratch/echoed") bytes"
refused 1 EADDRINUSE echo-server --port "$echo_port"

say "line-client: lines to the echo server and back"
printf 'one\ntwo\nthe last has no end' | timeout 10 "$programs/line-client" localhost "$echo_port" | tee "$scratch/lines"
[ "$(cat "$scratch/lines")" = "$(printf 'one\ntwo\nthe last has no end')" ] || fail "line-client printed something else"
refused 1 ECONNREFUSED line-client 127.0.0.1 1

say "port-scan: finds the echo server"
first=$((echo_port > 50 ? echo_port - 50 : 1)) last=$((echo_port < 65485 ? echo_port + 50 : 65535))
timeout 20 "$programs/port-scan" localhost --ports "$first-$last" --concurrency 16 | tee "$scratch/scan"
contains "^$echo_port open" "$scratch/scan" || fail "port-scan did not find it"
refused 64 'is invalid' port-scan localhost --ports 0-80

say "tcp-proxy: in front of the echo server"
start proxy tcp-proxy --listen 127.0.0.1:0 --to "localhost:$echo_port" --verbose
client "$port" <README.md | cmp README.md || fail "what came through the proxy differs"
size=$(wc -c <README.md)
eventually contains ": $size bytes to the target, $size back, .*ended" "$scratch/proxy"
stop proxy "$server"
start dead-end tcp-proxy --listen 127.0.0.1:0 --to 127.0.0.1:1 2>"$scratch/unreachable"
for _ in 1 2; do timeout 10 "$programs/line-client" 127.0.0.1 "$port" </dev/null || fail "a client was not closed in order"; done
[ "$(grep -c "127.0.0.1:1 can't be reached: .*ECONNREFUSED" "$scratch/unreachable")" = 2 ] || fail "it did not say why"
head -1 "$scratch/unreachable"
stop dead-end "$server"

say "echo-server: the end"
stop echo "$echo"

say "chat: two who talk, and one who does not listen"
start chat chat --max-lines-behind 500
mkfifo "$scratch/ada.in" "$scratch/bob.in"
"$programs/line-client" 127.0.0.1 "$port" <"$scratch/ada.in" >"$scratch/ada" &
ada=$!
exec 3>"$scratch/ada.in"
"$programs/line-client" 127.0.0.1 "$port" <"$scratch/bob.in" >"$scratch/bob" &
bob=$!
exec 4>"$scratch/bob.in"
running+=("$ada" "$bob")
echo ada >&3
eventually contains 'hello ada. Here with you: nobody' "$scratch/ada"
printf 'ada\nbob\n' >&4
eventually contains 'hello bob. Here with you: ada' "$scratch/bob"
contains 'somebody has that name' "$scratch/bob" || fail "two of one name"
echo 'hello bob' >&3
eventually contains '^ada: hello bob$' "$scratch/bob"
echo 'hello ada' >&4
eventually contains '^bob: hello ada$' "$scratch/ada"
# The third never reads. What the others say fills its outbox, and nobody waits for it.
exec 5<>"/dev/tcp/127.0.0.1/$port"
echo sleepy >&5
eventually contains 'sleepy has joined' "$scratch/ada"
hundred_lines=$(for number in $(seq 100); do printf '%0500d\n' "$number"; done)
for round in $(seq 200); do
    if contains 'sleepy was dropped' "$scratch/ada"; then break; fi
    printf '%s\nround %d\n' "$hundred_lines" "$round" >&4
    eventually contains "^bob: round $round\$" "$scratch/ada"
done
eventually contains 'sleepy was dropped: too slow' "$scratch/ada"
echo 'still here' >&3
eventually contains '^ada: still here$' "$scratch/bob"
grep -v '^bob: [0r]' "$scratch/ada"
stop chat "$server"
eventually contains 'the server ends. Good bye' "$scratch/ada"
exec 3>&- 4>&- 5>&-
wait "$ada" || fail "ada's client ended with status $?"
wait "$bob" || fail "bob's client ended with status $?"

say "http-hello: says hello"
start http http-hello
printf 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n' | client "$port" | tee "$scratch/answer"
echo
contains '^HTTP/1.1 200 ' "$scratch/answer" && contains 'Hello, World!' "$scratch/answer" || fail "http-hello did not say hello"
printf 'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n' | client "$port" >"$scratch/answer"
contains '^HTTP/1.1 501 ' "$scratch/answer" || fail "http-hello took a transfer encoding"
if [ -x "$programs/curl-multi" ]; then
    say "curl-multi: downloads three pages at once, with libcurl"
    timeout 20 "$programs/curl-multi" "http://127.0.0.1:$port/"{a,b,c} | tee "$scratch/pages"
    [ "$(grep -c ': status 200, 13 bytes' "$scratch/pages")" = 3 ] || fail "curl-multi got something else"
else
    skip "curl-multi: it was not built, without libcurl's headers"
fi
stop http "$server"

say "embedded-poll: an event loop inside a poll(2) loop"
printf 'one\ntwo\n' | timeout 10 "$programs/embedded-poll" | tee "$scratch/embedded"
contains '2 answers' "$scratch/embedded" || fail "embedded-poll did not answer"

say "udp-echo: sends a datagram back"
start udp udp-echo
timeout 10 "$programs/udp-echo" --port "$port" --ask "a datagram" || fail "no datagram came back"
stop udp "$server"
contains '^echoed 1 datagram$' "$scratch/udp" || fail "the server does not know of it"
refused 1 ECONNREFUSED udp-echo --port "$port" --ask "nobody is there"

say "redis-ping: 100,000 keys, pipelined"
refused 1 'redis-server --port 1 ' redis-ping --port 1
if has redis-server; then
    mkdir "$scratch/redis"
    # Nobody can ask for any free port: a few are tried.
    for attempt in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 10000))
        redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$scratch/redis" >"$scratch/redis.log" &
        redis=$!
        for _ in $(seq 100); do
            if contains 'Ready to accept connections' "$scratch/redis.log" || ! kill -0 "$redis" 2>/dev/null; then break; fi
            sleep 0.05
        done
        if kill -0 "$redis" 2>/dev/null; then break; fi
        [ "$attempt" -lt 5 ] || fail "redis-server does not start: $(cat "$scratch/redis.log")"
    done
    running+=("$redis")
    timeout 60 "$programs/redis-ping" --port "$port" | tee "$scratch/keys"
    [ "$(grep -cE '^(SET|GET|DEL) 100000 keys: ' "$scratch/keys")" = 3 ] || fail "redis-ping did something else"
    [ "$(redis-cli -p "$port" dbsize)" = 0 ] || fail "redis-ping has left keys"
    kill -TERM "$redis"
    wait "$redis" || true
else
    skip "redis-ping's keys: no redis-server"
fi

say "run-commands: commands side by side, and their end"
status=0
"$programs/run-commands" 'echo one' 'echo two; exit 3' 'head -c 1000000 /dev/zero' 'sleep 0.3; echo four' >"$scratch/commands" 2>&1 \
    || status=$?
cat "$scratch/commands"
for line in '[1] one' '[2] two' '[4] four' '2 of 4 commands failed: [2] [3]'; do
    grep -qxF "$line" "$scratch/commands" || fail "a line is missing: $line"
done
[ "$status" = 2 ] || fail "two commands failed, and the status is $status"
"$programs/run-commands" --grace 1 'echo $$ is ready; exec sleep 600' >"$scratch/interrupted" 2>&1 &
commands=$!
running+=("$commands")
eventually contains ready "$scratch/interrupted"
command=$(sed -n 's/^\[1\] \([0-9]*\) is ready$/\1/p' "$scratch/interrupted")
kill -0 "$command" || fail "the command is not there"
kill -TERM "$commands"
status=0
wait "$commands" || status=$?
[ "$status" -gt 128 ] || fail "interrupted, run-commands ended with status $status"
! kill -0 "$command" 2>/dev/null || fail "a command is left over"

say "tail-follow: a file as it grows"
echo first >"$scratch/followed"
"$programs/tail-follow" "$scratch/followed" >"$scratch/tail" &
tail=$!
running+=("$tail")
eventually contains first "$scratch/tail"
echo second >>"$scratch/followed"
eventually contains second "$scratch/tail"
kill -TERM "$tail"
wait "$tail" || true
[ "$(cat "$scratch/tail")" = "$(printf 'first\nsecond')" ] || fail "tail-follow printed: $(cat "$scratch/tail")"
cat "$scratch/tail"

say "everything did what it should"
[ ${#skipped[@]} -eq 0 ] || printf 'demo: %d parts were skipped:%s\n' ${#skipped[@]} "$(printf ' %s;' "${skipped[@]}")" >&2
