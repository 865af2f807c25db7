#!/usr/bin/env bash
# Builds the programs that packages hold: `packaging/build.sh ARCHITECTURE…` (x86_64, aarch64).
# They come out in target/packages/programs/ARCHITECTURE/, for glibc 2.28 and libcryptsetup 2.2, and the same commit
# gives the same bytes wherever it is built.
set -euo pipefail
cd "$(dirname "$0")/.."

glibc=2.28
unset CARGO_TARGET_DIR
target=$PWD/target
tools=$target/tools
export PATH="$tools/python/bin:$tools/bin:$PATH"
export ZIG_GLOBAL_CACHE_DIR="$tools/zig-cache" ZIG_LOCAL_CACHE_DIR="$tools/zig-cache"
export CARGO_ZIGBUILD_CACHE_DIR="$tools/zigbuild-cache"
# shellcheck source=packaging/epoch.sh
. packaging/epoch.sh
# Where this was built is nobody's business, and would make the bytes differ.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
sysroot=$(rustc --print sysroot)

# The part of libcryptsetup that the agent may use, as a library to link against.
library() {
    local architecture=$1 into=$2
    mkdir -p "$into"
    sed -nE 's/^ *(crypt_[a-z0-9_]+);$/void \1(void) {}/p' packaging/link/libcryptsetup.map >"$into/libcryptsetup.c"
    sed '/^#/d' packaging/link/libcryptsetup.map >"$into/libcryptsetup.map"
    python-zig cc -target "$architecture-linux-gnu.$glibc" -shared -nostdlib -g0 -o "$into/libcryptsetup.so" \
        -Wl,-soname,libcryptsetup.so.12 "-Wl,--version-script=$into/libcryptsetup.map" "$into/libcryptsetup.c"
    cat >"$into/libcryptsetup.pc" <<PC
Name: libcryptsetup
Description: what atrest-agent uses of it
Version: 2.2.2
Libs: -L$into -lcryptsetup
Cflags: -I$into/include
PC
    # The header is the same for every architecture.
    mkdir -p "$into/include"
    cp "$(pkg-config --variable=includedir libcryptsetup)/libcryptsetup.h" "$into/include/"
}

# What bindings are generated from: the compiler's own headers, then those of the target's C library, which zig has.
includes() {
    local architecture=${1%_64} zig
    zig=$(python -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))')/lib/libc/include
    echo "-nostdinc -isystem $(clang -print-resource-dir)/include -isystem $zig/$architecture-linux-gnu" \
        "-isystem $zig/generic-glibc -isystem $zig/$architecture-linux-any -isystem $zig/any-linux-any"
}

for architecture in "$@"; do
    triple=$architecture-unknown-linux-gnu
    link=$target/packages/link/$architecture
    library "$architecture" "$link"
    remap="--remap-path-prefix=$PWD=/atrest --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$sysroot=/rust --remap-path-prefix=$target=/target"
    env PKG_CONFIG_ALLOW_CROSS=1 PKG_CONFIG_LIBDIR="$link" \
        CFLAGS="-g0 -ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$target=/target" \
        "BINDGEN_EXTRA_CLANG_ARGS_$triple=$(includes "$architecture")" \
        RUSTFLAGS="$remap -C strip=symbols" CARGO_INCREMENTAL=0 \
        nice -n 10 cargo zigbuild --release --locked --target "$triple.$glibc" -p atrest-agent -p atrest-server
    mkdir -p "$target/packages/programs/$architecture"
    cp "$target/$triple/release"/{atrest-agent,atrest-server,atrestctl} "$target/packages/programs/$architecture/"
done
