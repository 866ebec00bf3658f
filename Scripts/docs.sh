#!/bin/bash
# Builds the documentation archive of Eddy with the toolchain's own docc.
set -euo pipefail
cd "$(dirname "$0")/.."
output=.build/docs
graphs=$output/symbol-graphs

# docc is a part of the toolchain, but swiftly and some images put only swift itself into PATH.
docc=$(command -v docc || true)
[ -n "$docc" ] || docc=$(dirname "$(readlink -f "$(command -v swift)")")/docc
[ -x "$docc" ] || { echo "docs: this toolchain has no docc" >&2; exit 1; }

rm -rf "$output"
mkdir -p "$graphs"
emitted=$(swift build --show-bin-path)/../symbolgraph
rm -rf "$emitted"
{ swift build --target EddyTesting && swift build --target EddyJSON; } >"$output/log" 2>&1 || { cat "$output/log" >&2; exit 1; }
# Asked for the whole package, the tool fails over the test bundles wherever those are not built; the libraries' graphs are
# written all the same, and whether they are is what counts.
swift package dump-symbol-graph --minimum-access-level public --skip-synthesized-members >>"$output/log" 2>&1 || true
for module in Eddy EddyJSON EddyReactor EddyTesting; do
    [ -s "$emitted/$module.symbols.json" ] || { cat "$output/log" >&2; exit 1; }
done
cp "$emitted"/Eddy.symbols.json "$emitted"/Eddy@*.symbols.json "$graphs"

"$docc" convert Sources/Eddy/Eddy.docc \
    --additional-symbol-graph-dir "$graphs" \
    --fallback-display-name Eddy --fallback-bundle-identifier eddy.Eddy \
    --output-path "$output/Eddy.doccarchive" "$@"
swift Scripts/undocumented.swift "$emitted"/Eddy.symbols.json "$emitted"/EddyJSON.symbols.json "$emitted"/EddyReactor.symbols.json "$emitted"/EddyTesting.symbols.json \
    >"$output/undocumented"
echo "docs: $(tail -1 "$output/undocumented"), listed in $output/undocumented"
echo "docs: $output/Eddy.doccarchive; read it with: $docc preview, or any web server"
