#!/usr/bin/env bash
# Every test, tier by tier, and the sum of their counts. Ends with `N passed, N failed, N skipped`.
set -uo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0

tier() {
    local title=$1
    shift
    echo "== $title"
    "$@" 2>&1 | tee -a "$log"
    local code=${PIPESTATUS[0]}
    if [ "$code" != 0 ]; then
        echo "== $title: FAILED (exit code $code)"
        status=1
    fi
}

# What cannot be installed is said; its tests are skipped then.
tests/emulators.sh
# The VM tier and the servers need the binaries themselves, not only the libraries.
tier "build" cargo build --locked --quiet --workspace --bins
tier "unit, property and in-process tests" cargo test --locked --workspace --no-fail-fast --lib --bins --test '*' \
    -- --quiet
tier "documentation tests" cargo test --locked --workspace --no-fail-fast --doc -- --quiet

# cargo's own lines (`test result: ok. 3 passed; 0 failed; 1 ignored; …`) and those of tiers with a harness of their own.
count() {
    sed -nE "s/.*[^0-9]([0-9]+) $1[;,].*/\1/p; s/^([0-9]+) $1[;,].*/\1/p; s/.*, ([0-9]+) $1\$/\1/p" "$log" |
        awk '{ sum += $1 } END { print sum + 0 }'
}
passed=$(count passed)
failed=$(count failed)
skipped=$(($(count ignored) + $(count skipped)))
[ "$status" = 0 ] || [ "$failed" != 0 ] || failed=1
echo
echo "$passed passed, $failed failed, $skipped skipped"
exit "$status"
