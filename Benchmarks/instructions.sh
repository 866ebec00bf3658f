#!/bin/sh
# User-space instructions per operation, counted by valgrind's callgrind: the figure that repeats where times do not.
#
#     ./instructions.sh [--guest] [--count N] NAME...
#
# Each subject runs once with N and once with 2 N operations; the difference divided by N is what one operation costs, start
# and end taken out. Without a name: the subjects that are pure switching. `eddy-bench list` names all.
set -eu
cd "$(dirname "$0")"

modes="host guest"
count=
names=
while [ $# -gt 0 ]; do
    case $1 in
        --guest) modes=guest ;;
        --host) modes=host ;;
        --count) shift; count=$1 ;;
        -*) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 64 ;;
        *) names="$names $1" ;;
    esac
    shift
done
[ -n "$names" ] || names="yield wake wake-group sleep timer spawn spawn1 timeout sleep-cancel pipe pipe-tcp"

command -v valgrind > /dev/null || { echo "instructions.sh needs valgrind: apt install valgrind" >&2; exit 69; }
program=.build/release/eddy-bench
[ -x "${EDDY_BENCH:-$program}" ] || swift build -c release --product eddy-bench > /dev/null
program=${EDDY_BENCH:-$program}

# Prints: instructions operations
measure() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$@" --once 2>&1 | awk '
        /"operations":/ { sub(/.*"operations":/, ""); sub(/[^0-9].*/, ""); operations = $0 }
        /Collected : / { instructions = $NF }
        END { if (operations == "" || instructions == "") exit 1; print instructions, operations }'
}

printf '%-14s' subject
for mode in $modes; do printf ' %10s' $mode; done
echo
status=0
for name in $names; do
    printf '%-14s' "$name"
    for mode in $modes; do
        guest=
        if [ $mode = guest ]; then guest=--guest; fi
        # Above the 1,024 timers that are armed at any time.
        n=${count:-4096}
        if few=$(measure "$name" "$n" $guest) && many=$(measure "$name" $((2 * n)) $guest); then
            echo "$few $many" | awk '{ printf " %10.0f", ($3 - $1) / ($4 - $2) }'
        else
            printf ' %10s' -
            status=1
        fi
    done
    echo
done
exit $status
