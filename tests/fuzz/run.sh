#!/usr/bin/env bash
# libFuzzer on every target, or on those that are named, for FUZZ_SECONDS each. Finds go to tests/fuzz/artifacts.
set -uo pipefail
cd "$(dirname "$0")/../.."
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "make fuzz: cargo-fuzz is not installed: cargo install cargo-fuzz --locked" >&2
    exit 1
fi
# The flags of sanitizers are for nightly compilers; this lets a stable one take them.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target/fuzz}
# The parsers are safe Rust, so that coverage alone, without a sanitizer, finds as much and sooner.
options=(--fuzz-dir tests/fuzz --sanitizer "${FUZZ_SANITIZER:-none}")
cargo fuzz build "${options[@]}" || exit 1
targets=("$@")
[ "$#" != 0 ] || mapfile -t targets < <(cargo fuzz list --fuzz-dir tests/fuzz)
status=0
for target in "${targets[@]}"; do
    # What is found on the way stays out of the committed seeds.
    grown=$CARGO_TARGET_DIR/corpus/$target
    mkdir -p "$grown"
    log=$(cargo fuzz run "${options[@]}" "$target" "$grown" "tests/fuzz/corpus/$target" -- \
        -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=1 2>&1)
    if [ $? = 0 ]; then
        sed -n "s/^stat::number_of_executed_units: */$target: ok, executions: /p" <<<"$log"
    else
        echo "$target: FAILED"
        tail -n 40 <<<"$log"
        status=1
    fi
done
exit "$status"
