#!/bin/sh
# Makes sure that the system packages for building (`build`), testing (`test`), or for making and trying packages
# (`packages`) are there.
# Installs what is missing with apt, through sudo when not root; elsewhere names it and stops.
set -eu

build="gcc libc6-dev make pkg-config libcryptsetup-dev clang libclang-dev"
# The VM tier boots Debian's kernel in QEMU with these tools in an initramfs.
vm="qemu-system-x86 busybox-static cryptsetup-bin dmsetup lvm2 mdadm e2fsprogs xfsprogs btrfs-progs thin-provisioning-tools util-linux kmod xz-utils bcache-tools drbd-utils keyutils f2fs-tools jfsutils nbd-client nbd-server nilfs-tools reiserfsprogs squashfs-tools"

# Alerts are told to a real Alertmanager.
alerts="prometheus-alertmanager"

# The emulator of S3 is a package of Python. Its module may be there from elsewhere.
emulators=""
python3 -c 'import ensurepip' >/dev/null 2>&1 || emulators="python3-venv"

# zig comes as a package of Python. The rest looks through what was made, and installs it.
packages="python3-venv binutils debootstrap lintian rpm rpmlint systemd xz-utils zstd"

case "${1:-}" in
    build) wanted=$build ;;
    test) wanted="$build $vm $alerts $emulators" ;;
    packages) wanted="$build $vm $packages" ;;
    *) echo "usage: $0 build|test|packages" >&2; exit 64 ;;
esac

if ! command -v cargo >/dev/null 2>&1; then
    echo "cargo was not found: install Rust 1.95 or later (https://rustup.rs)" >&2
    exit 1
fi

if ! command -v dpkg-query >/dev/null 2>&1; then
    if [ "$1" = build ] && pkg-config --exists libcryptsetup 2>/dev/null && command -v clang >/dev/null 2>&1; then
        exit 0
    fi
    echo "This system does not use apt. Install what these Debian packages hold, then run make again:" >&2
    echo "  $wanted" >&2
    exit 1
fi

missing=""
for package in $wanted; do
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1; then
    as_root="sudo"
else
    echo "These packages are missing, and there is neither root nor sudo to install them:" >&2
    echo "  apt-get install$missing" >&2
    exit 1
fi
echo "Installing:$missing" >&2
# A fresh machine may have no package lists, and old lists name files that are gone.
$as_root apt-get update -q >/dev/null
# shellcheck disable=SC2086 # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null
