#!/bin/bash
# Rules about the sources that neither the compiler nor the formatter knows. Prints each violation, and fails if there is one.
set -euo pipefail
# A pipeline's last part runs in this shell, so that `report` can set `violations`.
shopt -s lastpipe
cd "$(dirname "$0")/.."

roots=()
for root in Sources Tests Benchmarks/Sources; do
    if [ -d "$root" ]; then roots+=("$root"); fi
done
mapfile -t files < <(find "${roots[@]}" -name '*.swift' | sort)
violations=0

# Prints "file:line: code" for each line whose code, without comments, matches an extended regular expression.
code_matching() {
    local pattern=$1
    shift
    awk -v pattern="$pattern" '{ code = $0; sub(/\/\/.*/, "", code) } code ~ pattern { print FILENAME ":" FNR ": " $0 }' "$@"
}

# Reads violations of one rule.
report() {
    local found
    found=$(cat)
    if [ -n "$found" ]; then
        printf '%s\n' "$1" "$found" | sed '2,$s/^/    /'
        violations=1
    fi
}

code_matching '(^|[^A-Za-z0-9_])import +CEpoll' "${files[@]}" | { grep -v '^Sources/EddyReactor/Kernel/' || true; } \
    | report "Only Sources/EddyReactor/Kernel imports CEpoll:"

mapfile -t reactor < <(find Sources/EddyReactor -name '*.swift')
code_matching '(^|[^A-Za-z0-9_])(async|await)([^A-Za-z0-9_]|$)' "${reactor[@]}" \
    | report "The reactor has no async code:"

# Tests run side by side in one process, and some start others: what a child inherits stays open for as long as that lives.
mapfile -t side_by_side < <(find Tests -name '*.swift' ! -path '*Fixture/*')
code_matching '(^|[^A-Za-z0-9_.]|Glibc\.)(pipe\(&|mkstemp\(|dup2?\(|accept\([a-z]+, nil, nil\)|socket\(AF_|open\([^)]*, O_)' "${side_by_side[@]}" \
    | { grep -v 'CLOEXEC\|closeOnExec\|Inheritable on purpose' || true; } \
    | report "The descriptors of tests are close-on-exec:"

code_matching 'with(Unsafe|Checked)(Throwing)?Continuation' "${files[@]}" \
    | { grep '^Sources/' || true; } | { grep -v '^Sources/Eddy/Suspension/Parking.swift:' || true; } \
    | report "Continuations are made in Sources/Eddy/Suspension/Parking.swift only:"

for file in "${files[@]}"; do
    lines=$(wc -l <"$file")
    if [ "$lines" -gt 600 ]; then echo "$file: $lines lines"; fi
done | report "No Swift file has more than 600 lines:"

for file in "${files[@]}"; do
    awk -v distance=6 '
        { line[NR] = $0 }
        END {
            for (number = 1; number <= NR; number++) {
                code = line[number]
                sub(/\/\/.*/, "", code)
                if (code !~ /@unchecked Sendable|nonisolated\(unsafe\)|unowned\(unsafe\)/) continue
                argued = 0
                for (near = number - distance; near <= number + distance; near++) {
                    if (line[near] ~ /SAFETY:/) argued = 1
                }
                if (!argued) print FILENAME ":" number ": " line[number]
            }
        }' "$file"
done | report "What the compiler can't check has a SAFETY: comment within six lines:"

# A whole program that is shown ends as programs do: not with a trap when it is interrupted, or when its port is in use.
grep -nE '^(/// )?(try )?EventLoop\.run( |\()' README.md Sources/Eddy/Eddy.docc/*.md "${files[@]}" \
    | report "Samples of whole programs begin with EventLoop.main:" || true
grep -nE '(^|[^A-Za-z0-9_])EventLoop\.run( |\()' Sources/Examples/*/*.swift \
    | report "The examples begin with EventLoop.main:" || true

python3 -B Scripts/cancellation-notes.py Sources/Eddy Sources/EddyJSON Sources/EddyTesting \
    | report "What suspends says what cancellation does to it:"

if [ "$violations" -ne 0 ]; then exit 1; fi
echo "check-rules: ${#files[@]} files keep the rules"
