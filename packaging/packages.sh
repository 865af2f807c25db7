#!/usr/bin/env bash
# Makes debs and rpms of atrest-agent, atrest-server (with atrestctl) and atrestctl in target/packages/. Called by
# `make packages`. The same commit gives the same bytes.
#
#   packaging/packages.sh [ARCHITECTURE…]         builds and packs, by default x86_64; aarch64 has not been tried to its end
#   packaging/packages.sh --pack ARCHITECTURE…    packs what was built
set -euo pipefail
cd "$(dirname "$0")/.."
unset CARGO_TARGET_DIR
umask 022

# shellcheck source=packaging/epoch.sh
. packaging/epoch.sh
into=target/packages
mkdir -p "$into/man"

build=yes
if [ "${1:-}" = --pack ]; then
    build=no
    shift
fi
architectures=("$@")
if [ "${#architectures[@]}" = 0 ]; then
    architectures=(x86_64)
fi

packaging/tools.sh
if [ "$build" = yes ]; then
    packaging/build.sh "${architectures[@]}"
fi

# rpm keeps pages as they are given; cargo-deb packs them itself.
for page in packaging/man/*.[1-8]; do
    gzip -9nc "$page" >"$into/man/$(basename "$page").gz"
done
# What a package holds has the date of the commit.
touch --date="@$SOURCE_DATE_EPOCH" "$into"/man/*

version=$(sed -nE 's/^version = "(.*)"/\1/p' Cargo.toml | head -n 1)
for architecture in "${architectures[@]}"; do
    triple=$architecture-unknown-linux-gnu
    case $architecture in x86_64) deb=amd64 ;; aarch64) deb=arm64 ;; *) echo "unknown: $architecture" >&2; exit 64 ;; esac
    for package in "atrest-agent:agent:" "atrestctl:server:" "atrest-server:server:server"; do
        IFS=: read -r name crate variant <<<"$package"
        chosen=(${variant:+--variant "$variant"})
        target/tools/bin/cargo-deb --quiet --no-build --no-strip --target "$triple" -p "atrest-$crate" \
            "${chosen[@]}" -o "$into/${name}_$version-1_$deb.deb"
        target/tools/bin/cargo-generate-rpm --target "$triple" --payload-compress xz -p "$crate" \
            "${chosen[@]}" -o "$into/$name-$version-1.$architecture.rpm"
    done
done
ls -l "$into"/*.deb "$into"/*.rpm
