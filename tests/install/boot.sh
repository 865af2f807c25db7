# A Debian machine with systemd, under QEMU's own processor: packages installed, a host enrolled, a LUKS disk and a plain
# one reported, upgraded while it runs, set back, removed, purged. What the guest does is in guest.sh.
# shellcheck shell=bash
arch=amd64

machine_base() {
    base machine linux-image-cloud-amd64 systemd-sysv udev dbus cryptsetup-bin libcryptsetup12 e2fsprogs sqlite3 ca-certificates kmod
}

machine() {
    fresh machine
    mkdir -p "$root/install"
    cp "$packages"/atrest-{agent,server}_"$version"-1_$arch.deb "$root/install/"
    newer "$root/install/atrest-agent_$version-1_$arch.deb" "$root/install/agent-2.deb" agent.toml || return
    newer "$root/install/atrest-server_$version-1_$arch.deb" "$root/install/server-2.deb" server.toml || return
    cp tests/install/guest.sh "$root/install/"
    echo "version=$version" >"$root/install/version"
    echo node-1 >"$root/etc/hostname"
    echo '127.0.0.1 localhost node-1' >"$root/etc/hosts"
    cat >"$root/etc/systemd/system/install-test.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash /install/guest.sh
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
ExecStopPost=/bin/systemctl --no-block poweroff
[Install]
WantedBy=default.target
UNIT
    mkdir -p "$root/etc/systemd/system/default.target.wants"
    ln -sf ../install-test.service "$root/etc/systemd/system/default.target.wants/"
    # Nothing here is worth waiting for.
    for unit in systemd-timesyncd apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap fstrim.timer; do
        rm -f "$root"/etc/systemd/system/*.wants/"$unit"*
    done
    # Those that are empty now would be taken away by the first purge of any package.
    find "$root/etc/systemd/system" -type d -empty -delete
    mv "$root/boot"/vmlinuz-* "$home/vmlinuz" && mv "$root/boot"/initrd.img-* "$home/initrd" || return
    rm -f "$home"/{root,luks,plain}.img
    mke2fs -q -t ext4 -d "$root" "$home/root.img" 1536M && truncate -s 64M "$home/luks.img" "$home/plain.img" && rm -rf "$root"
}

# Runs until the guest switches itself off, at most fifteen minutes.
guest() {
    rm -f "$home/guest.log"
    timeout 900 qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 -nodefaults -display none -no-reboot -nic none \
        -kernel "$home/vmlinuz" -initrd "$home/initrd" -append "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=0" \
        -drive "file=$home/root.img,format=raw,if=virtio,cache=unsafe" \
        -drive "file=$home/luks.img,format=raw,if=virtio,cache=unsafe" \
        -drive "file=$home/plain.img,format=raw,if=virtio,cache=unsafe" \
        -serial "file:$home/console.log" -serial "file:$home/guest.log" </dev/null
}

if [ "$(id -u)" != 0 ]; then
    skip "a machine with systemd" "its root is made as root"
elif ! command -v qemu-system-x86_64 >/dev/null; then
    skip "a machine with systemd" "there is no qemu-system-x86_64"
elif ! machine_base; then
    skip "a machine with systemd" "a Debian root cannot be made"
else
    check "the machine's disk is made" machine
    check "the machine boots and switches itself off" guest
    tr -d '\r' <"$home/guest.log" | grep -E '^(ok|FAILED|        )' || true
    passed=$((passed + $(grep -c '^ok ' "$home/guest.log")))
    failed=$((failed + $(grep -c '^FAILED ' "$home/guest.log")))
    check "the guest did all that it had to do" grep -q '^finished' "$home/guest.log"
    rm -f "$home"/{root,luks,plain}.img "$home/vmlinuz" "$home/initrd"
fi
