# Debian's packages in a root of their own: installed, upgraded, removed, purged. No service runs there.
# shellcheck shell=bash
arch=amd64

deb_root() {
    base plain ca-certificates libcryptsetup12 init-system-helpers systemd passwd && fresh plain
}

if [ "$(id -u)" != 0 ]; then
    skip "dpkg" "wants root, for chroot"
elif ! deb_root; then
    skip "dpkg" "a Debian root cannot be made"
else
    cp "$packages"/*_"$version"-1_$arch.deb "$root/tmp/"
    newer "$root/tmp/atrest-agent_$version-1_$arch.deb" "$root/tmp/agent-2.deb" agent.toml >/dev/null
    newer "$root/tmp/atrest-server_$version-1_$arch.deb" "$root/tmp/server-2.deb" server.toml >/dev/null
    listing >"$home/before"

    check "dpkg installs all that is needed" inside dpkg -i "/tmp/atrest-agent_$version-1_$arch.deb" "/tmp/atrest-server_$version-1_$arch.deb"
    check "the packages are whole" inside dpkg --verify atrest-agent atrest-server
    check "the agent starts" inside atrest-agent --version
    check "the server starts" inside atrest-server --version
    check "atrestctl starts" inside atrestctl --version
    check "the agent's configuration is valid" inside atrest-agent validate
    check "the server's configuration is valid" inside atrest-server validate
    for account in atrest-server atrest-agent atrest-observer; do
        check "$account has its account" inside getent passwd "$account"
    done
    check "the services are enabled" [ -L "$root/etc/systemd/system/multi-user.target.wants/atrest-agent.service" ]
    check "atrestctl alone cannot be there as well" not inside dpkg -i "/tmp/atrestctl_$version-1_$arch.deb"
    inside dpkg --force-remove-reinstreq -P atrestctl >/dev/null 2>&1

    echo 'scan_interval = 1800' >>"$root/etc/atrest/agent.toml"
    check "dpkg upgrades" inside dpkg --force-confold -i /tmp/agent-2.deb /tmp/server-2.deb
    check "what was changed in the configuration is kept" grep -qx 'scan_interval = 1800' "$root/etc/atrest/agent.toml"
    check "what was not changed in the configuration is new" grep -qx '# A new key.' "$root/etc/atrest/server.toml"
    listing >"$home/once"
    for package in agent server; do
        check "configuring the $package again is no harm" inside "/var/lib/dpkg/info/atrest-$package.postinst" configure "$version-1"
    done
    listing >"$home/twice"
    check "configuring again changes nothing" diff "$home/once" "$home/twice"

    # What the services leave behind.
    mkdir -p "$root/var/lib/atrest-agent" "$root/var/lib/atrest-server"
    touch "$root/var/lib/atrest-agent/identity.json" "$root/var/lib/atrest-server/atrest.db"
    check "dpkg removes" inside dpkg -r atrest-agent atrest-server
    check "a removal keeps configuration and state" [ -e "$root/etc/atrest/agent.toml" -a -e "$root/var/lib/atrest-agent/identity.json" -a -e "$root/var/lib/atrest-server/atrest.db" ]
    check "a removal takes the programs" not [ -e "$root/usr/bin/atrest-agent" ]
    check "dpkg purges" inside dpkg -P atrest-agent atrest-server
    listing >"$home/after"
    check "a purge leaves nothing" diff "$home/before" "$home/after"
    for account in atrest-server atrest-agent atrest-observer; do
        check "the account $account is gone" not inside getent passwd "$account"
    done

    check "atrestctl installs alone" inside dpkg -i "/tmp/atrestctl_$version-1_$arch.deb"
    check "atrestctl gives way to the server" inside dpkg -i --auto-deconfigure --force-conflicts "/tmp/atrest-server_$version-1_$arch.deb"
    rm -rf "$root"
fi
