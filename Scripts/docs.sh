#!/bin/bash
# Builds the documentation of all libraries with the toolchain's own docc, as one archive.
set -euo pipefail
cd "$(dirname "$0")/.."
output=.build/docs
log=$output/log
# From the bottom up: each may link to those before it.
modules=(EddyReactor Eddy EddyJSON EddyTesting)

# docc is a part of the toolchain, but swiftly and some images put only swift itself into PATH.
docc=$(command -v docc || true)
[ -n "$docc" ] || docc=$(dirname "$(readlink -f "$(command -v swift)")")/docc
[ -x "$docc" ] || { echo "docs: this toolchain has no docc" >&2; exit 1; }

fail() {
    cat "$log" >&2
    exit 1
}

rm -rf "$output"
mkdir -p "$output"
emitted=$(swift build --show-bin-path)/../symbolgraph
rm -rf "$emitted"
{ swift build --target EddyTesting && swift build --target EddyJSON; } >"$log" 2>&1 || fail
# Asked for the whole package, the tool fails over the test bundles wherever those are not built; the libraries' graphs are
# written all the same, and whether they are is what counts.
swift package dump-symbol-graph --emit-extension-block-symbols --minimum-access-level public --skip-synthesized-members >>"$log" 2>&1 || true

dependencies=()
archives=()
for module in "${modules[@]}"; do
    [ -s "$emitted/$module.symbols.json" ] || fail
    graphs=$output/symbol-graphs/$module
    mkdir -p "$graphs"
    cp "$emitted/$module".symbols.json "$graphs"
    # What a module adds to others' types.
    cp "$emitted/$module"@*.symbols.json "$graphs" 2>/dev/null || true
    "$docc" convert "Sources/$module/$module.docc" \
        --additional-symbol-graph-dir "$graphs" --enable-experimental-external-link-support "${dependencies[@]}" \
        --fallback-display-name "$module" --fallback-bundle-identifier "eddy.$module" \
        --output-path "$output/$module.doccarchive" "$@"
    dependencies+=(--dependency "$output/$module.doccarchive")
    archives+=("$output/$module.doccarchive")
done
"$docc" merge "${archives[@]}" --synthesized-landing-page-name Eddy --output-path "$output/documentation.doccarchive"
# The archive's own first page knows nothing of what is in it.
cat >"$output/documentation.doccarchive/index.html" <<'PAGE'
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Eddy</title><meta http-equiv="refresh" content="0; url=documentation/">
</head><body><a href="documentation/">The documentation of Eddy</a></body></html>
PAGE
rm -rf "${archives[@]}" "$output/symbol-graphs"

graphs=("${modules[@]/#/$emitted/}")
swift Scripts/undocumented.swift "${graphs[@]/%/.symbols.json}" >"$output/undocumented"
echo "docs: $(tail -1 "$output/undocumented"), listed in $output/undocumented"
echo "docs: read it with: python3 -m http.server --bind 127.0.0.1 --directory $output/documentation.doccarchive 8000"
echo "docs: and a browser at http://127.0.0.1:8000/"
