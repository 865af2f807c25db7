# What the parts of the install tests share. Read by run.sh.
# shellcheck shell=bash
packages=$PWD/target/packages
home=$PWD/target/install
version=$(sed -nE 's/^version = "(.*)"/\1/p' Cargo.toml | head -n 1)
suite=bookworm
passed=0 failed=0 skipped=0
mkdir -p "$home"

# Runs a command as a test: its output is shown when it fails.
check() {
    local what=$1 log=$home/check.log
    shift
    if "$@" >"$log" 2>&1; then
        echo "ok      $what"
        passed=$((passed + 1))
    else
        echo "FAILED  $what: $*"
        sed 's/^/        /' "$log" | tail -n 40
        failed=$((failed + 1))
    fi
}

skip() {
    echo "skipped $1: $2"
    skipped=$((skipped + 1))
}

not() { ! "$@"; }

# A Debian root, made once: `base NAME EXTRA…` in $home/NAME.tar.
base() {
    local name=$1 extra
    extra=$(IFS=,; echo "${*:2}")
    [ -e "$home/$name.tar" ] && return
    # The mirror that this machine takes its packages from.
    local mirror
    mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v suite="$suite" '$2 == suite && $3 == "main" { print $1; exit }')
    rm -rf "$home/$name.new"
    debootstrap --variant=minbase ${extra:+--include="$extra"} "$suite" "$home/$name.new" "${mirror:-http://deb.debian.org/debian}" \
        >"$home/$name.log" 2>&1 || { tail -n 5 "$home/$name.log"; return 1; }
    rm -rf "$home/$name.new"/var/cache/apt/archives/*.deb "$home/$name.new"/var/lib/apt/lists/*
    tar -C "$home/$name.new" -cf "$home/$name.tar" . && rm -rf "$home/$name.new"
}

# A fresh copy of it in $root.
fresh() {
    root=$home/root
    rm -rf "$root"
    mkdir -p "$root"
    tar -C "$root" -xf "$home/$1.tar"
}

inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }

# Every file of the root with its kind, mode and owner; not what package managers write about themselves.
listing() {
    (cd "$root" && find . -xdev \( -path ./var/lib/dpkg -o -path ./var/lib/rpm -o -path ./usr/lib/sysimage -o -path ./proc -o -path ./var/log \
        -o -path ./tmp \) -prune -o ! -path './etc/*-' ! -path ./etc/.pwd.lock -printf '%y %m %u %g %p %l\n' | sort)
}

# The package in a file with a higher version and one more line in its configuration: FROM TO CONFIGURATION.
newer() {
    local from=$1 to=$2 work=$home/newer
    rm -rf "$work"
    dpkg-deb -R "$from" "$work" && sed -i "s/^Version: .*/Version: $version-2/" "$work/DEBIAN/control" &&
        echo '# A new key.' >>"$work/etc/atrest/$3" &&
        dpkg-deb --root-owner-group -Zgzip -b "$work" "$to"
}
