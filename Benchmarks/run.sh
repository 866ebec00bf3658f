#!/bin/sh
# Runs all subjects, as a host and as a guest, and prints a table of medians.
#
#     ./run.sh [--quick] [--rounds N] [NAME...]
#
# Every round runs each subject in both modes, one after the other, so that a slow minute of the machine hits all of them
# alike. The table and results/latest.json hold the medians over the rounds. --quick: one round with small N, to see that
# everything works.
set -eu
cd "$(dirname "$0")"

rounds=5
quick=
names=
while [ $# -gt 0 ]; do
    case $1 in
        --quick) quick=1; rounds=1 ;;
        --rounds) shift; rounds=${1:?--rounds needs a number} ;;
        -*) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 64 ;;
        *) names="$names $1" ;;
    esac
    shift
done

swift build -c release --product eddy-bench >&2
program=.build/release/eddy-bench
[ -n "$names" ] || names=$("$program" list | cut -f 1)

# One processor for everything but xthread2, as far as we may choose.
pin=
if command -v taskset > /dev/null && taskset -c 0 true 2> /dev/null; then pin="taskset -c 0"; fi

mkdir -p results
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
trap 'exit 130' INT TERM

for round in $(seq "$rounds"); do
    for name in $names; do
        count=
        if [ -n "$quick" ]; then
            case $name in
                sleepers1m | timer1m) count=100000 ;;
                wakeup) count=100 ;;
                *) count=5000 ;;
            esac
        fi
        # Which mode goes first changes from round to round.
        if [ $((round % 2)) = 1 ]; then modes="host guest"; else modes="guest host"; fi
        for mode in $modes; do
            if [ -t 2 ]; then printf '\r\033[Kround %s of %s: %s %s' "$round" "$rounds" "$name" "$mode" >&2; fi
            guest=
            if [ "$mode" = guest ]; then guest=--guest; fi
            on=$pin
            if [ "$name" = xthread2 ]; then on=; fi
            # shellcheck disable=SC2086 # each of the three is no word, or several
            $on "$program" "$name" $count $guest >> "$lines" || {
                echo "run.sh: $name ($mode) failed" >&2
                exit 1
            }
        done
    done
done
if [ -t 2 ]; then printf '\r\033[K' >&2; fi

describe() {
    printf '"date":"%s","commit":"%s","kernel":"%s","processors":%s,"processor":"%s","swift":"%s","rounds":%s,"quick":%s' \
        "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(git rev-parse --short HEAD 2> /dev/null || echo unknown)" "$(uname -r)" "$(nproc)" \
        "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)" \
        "$(swift --version 2> /dev/null | sed -n 's/.*Swift version \([0-9.]*\).*/\1/p' | head -n 1)" \
        "$rounds" "$([ -n "$quick" ] && echo true || echo false)"
}

awk -v about="$(describe)" -v file=results/latest.json '
    function field(name,    text) {
        if (!match($0, "\"" name "\":[^,}]*")) return ""
        text = substr($0, RSTART, RLENGTH)
        sub(/^[^:]*:/, "", text)
        gsub(/"/, "", text)
        return text
    }
    # The figures of all rounds stand in one string; sorted by insertion, there are few.
    function median(text,    values, count, i, j, value) {
        count = split(text, values, " ")
        for (i = 2; i <= count; i++) {
            value = values[i] + 0
            for (j = i - 1; j > 0 && values[j] + 0 > value; j--) values[j + 1] = values[j]
            values[j + 1] = value
        }
        return count == 0 ? "" : count % 2 ? values[(count + 1) / 2] + 0 : (values[count / 2] + values[count / 2 + 1]) / 2
    }
    function json(name, mode,    text, i, key) {
        text = "\"ns\":" median(figures[name, mode, "ns"])
        for (i = 2; i <= keyCount; i++) {
            key = keys[i]
            if ((name, mode, key) in figures) text = text ",\"" key "\":" median(figures[name, mode, key])
        }
        return "{" text "}"
    }
    function cell(value, digits) {
        return value == "" ? "-" : sprintf("%." digits "f", value)
    }
    BEGIN { CONVFMT = "%.10g"; keyCount = split("ns ns_min ns_max allocations rss_per_task wall_ms mean_us p99_us", keys, " ") }
    {
        name = field("bench"); mode = field("peer"); sub(/^eddy-/, "", mode)
        if (!(name in seen)) { seen[name] = 1; order[++total] = name; n[name] = field("n") }
        for (i = 1; i <= keyCount; i++) {
            value = field(keys[i])
            if (value != "") figures[name, mode, keys[i]] = figures[name, mode, keys[i]] " " value
        }
    }
    END {
        printf "%-14s %12s %12s %14s %14s\n", "subject", "host ns", "guest ns", "host alloc/op", "guest alloc/op"
        printf "{%s,\"results\":[", about > file
        for (i = 1; i <= total; i++) {
            name = order[i]
            printf "%-14s %12s %12s %14s %14s\n", name, cell(median(figures[name, "host", "ns"]), 1), \
                cell(median(figures[name, "guest", "ns"]), 1), cell(median(figures[name, "host", "allocations"]), 2), \
                cell(median(figures[name, "guest", "allocations"]), 2)
            printf "%s\n{\"bench\":\"%s\",\"n\":%s,\"host\":%s,\"guest\":%s}", (i > 1 ? "," : ""), name, n[name], \
                json(name, "host"), json(name, "guest") > file
        }
        print "\n]}" > file
    }' "$lines"
