#!/usr/bin/env bash
# Puts what tests talk to into target/emulators: moto, of S3 and KMS, azurite, of Azure's blob service, and aiosmtpd, a
# mail server.
# When one cannot be had that is said, and the tests that need it are skipped.
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

if [ ! -x "$into/node/node_modules/.bin/azurite-blob" ]; then
    rm -rf "$into/node"
    if ! command -v npm >/dev/null; then
        echo "azurite cannot be installed: there is no npm"
    elif ! npm install --prefix "$into/node" --no-save --no-package-lock --no-fund --no-audit --silent azurite@3.35.0 \
        >"$into/node.log" 2>&1; then
        echo "azurite cannot be installed: $(tail -n 1 "$into/node.log")"
        rm -rf "$into/node"
    fi
fi

if [ ! -x "$into/smtp/bin/aiosmtpd" ]; then
    rm -rf "$into/smtp"
    if ! { python3 -m venv "$into/smtp" &&
        "$into/smtp/bin/pip" install --quiet --disable-pip-version-check "aiosmtpd==1.4.6"; } >"$into/smtp.log" 2>&1; then
        echo "aiosmtpd cannot be installed: $(tail -n 1 "$into/smtp.log")"
        rm -rf "$into/smtp"
    fi
fi
