# The rpms in a root of their own, with their scriptlets. Their dependencies name libraries that no package of rpm brings
# here, so these are looked at and not resolved.
# shellcheck shell=bash
arch=x86_64

requires() { rpm -qp --requires "$packages/$1-$version-1.$arch.rpm" | grep -qxF "$2"; }
into_root() { rpm --root "$root" --nodeps "$@"; }

check "the agent's rpm requires glibc 2.28" requires atrest-agent 'libc.so.6(GLIBC_2.28)(64bit)'
check "the agent's rpm requires libcryptsetup" requires atrest-agent 'libcryptsetup.so.12(CRYPTSETUP_2.0)(64bit)'

if [ "$(id -u)" != 0 ]; then
    skip "rpm" "wants root, for chroot"
elif ! { base plain ca-certificates libcryptsetup12 init-system-helpers systemd passwd && fresh plain; }; then
    skip "rpm" "a root cannot be made"
else
    rpmdb --root "$root" --initdb
    listing >"$home/before"
    check "rpm installs" into_root -i "$packages/atrest-agent-$version-1.$arch.rpm" "$packages/atrest-server-$version-1.$arch.rpm"
    check "the rpms are whole" into_root -V atrest-agent atrest-server
    check "the agent starts" inside atrest-agent --version
    check "the configurations are valid" inside sh -c 'atrest-agent validate && atrest-server validate'
    for account in atrest-server atrest-agent atrest-observer; do
        check "$account has its account" inside getent passwd "$account"
    done
    echo 'scan_interval = 1800' >>"$root/etc/atrest/agent.toml"
    check "rpm installs anew" into_root -U --replacepkgs "$packages/atrest-agent-$version-1.$arch.rpm"
    check "what was changed in the configuration is kept" grep -qx 'scan_interval = 1800' "$root/etc/atrest/agent.toml"
    check "rpm erases" into_root -e atrest-agent atrest-server
    check "what was changed in the configuration is kept on erasure" [ -e "$root/etc/atrest/agent.toml.rpmsave" ]
    check "the programs are gone" not [ -e "$root/usr/bin/atrest-agent" -o -e "$root/usr/bin/atrest-server" ]
    check "no unit is left" not [ -e "$root/usr/lib/systemd/system/atrest-agent.service" -o -e "$root/usr/lib/systemd/system/atrest-observer.service" -o -L "$root/etc/systemd/system/multi-user.target.wants/atrest-agent.service" ]
    rm -rf "$root"
fi
