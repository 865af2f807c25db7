#!/usr/bin/env bash
# Puts what packages are made with into target/tools, at fixed versions: zig as the C compiler and linker for an older
# glibc, and the two programs that write debs and rpms.
set -euo pipefail
cd "$(dirname "$0")/.."
into=target/tools
mkdir -p "$into"

if [ ! -x "$into/python/bin/cargo-zigbuild" ]; then
    # A broken try leaves nothing behind that looks whole.
    rm -rf "$into/python"
    if ! { python3 -m venv "$into/python" &&
        "$into/python/bin/pip" install --quiet --disable-pip-version-check ziglang==0.15.2 cargo-zigbuild==0.24.1; }; then
        rm -rf "$into/python"
        exit 1
    fi
fi
for tool in cargo-deb@3.8.0 cargo-generate-rpm@0.21.1; do
    if [ ! -x "$into/bin/${tool%@*}" ]; then
        cargo install --quiet --locked --root "$into" --target-dir "$into/build" "$tool"
    fi
done
rm -rf "$into/build"
