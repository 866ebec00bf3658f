#!/bin/bash
# Runs every test, and says behind their output how many were skipped, and why. The arguments are those of `swift test`.
set -euo pipefail
cd "$(dirname "$0")/.."
# swift-testing writes a file of its own beside the one that is asked for.
report=.build/tests-swift-testing.xml
mkdir -p .build
rm -f "$report"
status=0
swift test --xunit-output .build/tests.xml "$@" || status=$?
if grep -q '<skipped' "$report" 2>/dev/null; then
    reasons=$(sed -n 's/.*<skipped>\(.*\)<\/skipped>.*/\1/p; s/.*<skipped *\/>.*/no reason given/p' "$report" | sort | uniq -c \
        | sort -rn | sed 's/^ *\([0-9]*\) /\1 × /' | paste -sd '|' | sed 's/|/; /g')
    echo "test: $(grep -c '<skipped' "$report") tests were skipped: $reasons" >&2
fi
exit "$status"
