#!/bin/sh
# Where a subject allocates: the backtraces of four allocations from the middle of a run, with names and lines.
#
#     ./trace.sh NAME [--guest]
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 64; }
program=.build/release/eddy-bench
[ -x $program ] || swift build -c release --product eddy-bench > /dev/null

# The program's own frames have addresses only, the libraries' have names.
"$program" "$@" --trace 2>&1 | while read -r line; do
    case $line in
        *eddy-bench\(*+0x*)
            address=${line##*\[}
            offset=${line#*(}
            case $offset in
                +*) addr2line -f -i -s -e "$program" "$(echo "$offset" | sed 's/^+//; s/).*//')" | paste - - | sed 's/^/    /' ;;
                *) echo "    ${offset%%[+)]*}" ;;
            esac ;;
        ---*) echo "$line" ;;
        *) echo "    $line" | sed 's/\[0x[0-9a-f]*\]//; s|/[^ ]*/||' ;;
    esac
done | swift demangle --compact | cut -c1-160
