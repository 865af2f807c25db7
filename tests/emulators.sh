#!/usr/bin/env bash
# Puts moto, an emulator of S3 and KMS that tests talk to, into target/emulators.
# When it cannot be had that is said, and the tests that need it are skipped.
set -uo pipefail
cd "$(dirname "$0")/.."
into=target/emulators
mkdir -p "$into"

if [ ! -x "$into/python/bin/moto_server" ]; then
    # A broken try leaves nothing behind that looks whole.
    rm -rf "$into/python"
    if ! { python3 -m venv "$into/python" &&
        "$into/python/bin/pip" install --quiet --disable-pip-version-check "moto[server]==5.2.5"; } >"$into/python.log" 2>&1; then
        echo "moto cannot be installed: $(tail -n 1 "$into/python.log")"
        rm -rf "$into/python"
    fi
fi
