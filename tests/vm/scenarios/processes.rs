//! What a process sees is not what the host sees: other mounts, another root.

use atrest_tests::vm::scenario::Scenario;

/// Asked in the eyes of the process that `apart` has left.
const fn seen(name: &'static str, setup: &'static str) -> Scenario {
    Scenario::new(name, setup).asking_as_process(&["/data"]).writing(&[]).needs("unshare")
}

pub(super) const ALL: &[Scenario] = &[
    seen(
        "process-sees-plain-where-the-host-sees-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /data
        apart \"contents=$contents name=$name
            umount /data
            ext4 /dev/vdb /data
            put /data
            settle\"",
    )
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    seen(
        "process-sees-luks-where-the-host-sees-plain",
        "crypt a /dev/vda
        ext4 /dev/vdb /data
        apart \"contents=$contents name=$name
            umount /data
            ext4 /dev/mapper/a /data
            put /data
            settle\"",
    )
    .encrypted(),
    seen(
        "host-sees-plain-where-a-process-sees-luks",
        "crypt a /dev/vda
        ext4 /dev/vdb /data
        apart \"umount /data
            ext4 /dev/mapper/a /data\"
        put /data
        settle",
    )
    .asking(&["/data"])
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    seen(
        "process-with-a-private-directory-on-plain",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /data
        ext4 /dev/vdb /var/private
        mkdir /var/private/es
        apart \"contents=$contents name=$name
            mount -o bind /var/private/es /data
            umount -l /var/private
            put /data
            settle\"",
    )
    // The mount that it hides is still there.
    .partial(&["plain_device"], &["/dev/vdb"]),
    seen(
        "process-with-another-root",
        "crypt a /dev/vda
        ext4 /dev/vdb /data
        ext4 /dev/mapper/a /jail/data
        mkdir -p /jail/bin
        cp /bin/busybox /jail/bin
        chroot /jail /bin/busybox sleep 100000 >/run/jail 2>&1 &
        echo $! >/run/pid
        until [ \"$(readlink /proc/$!/root)\" = /jail ]; do usleep 100000; done
        put /jail/data
        settle",
    )
    .encrypted(),
    seen(
        "process-with-another-root-on-plain",
        "crypt a /dev/vda
        ext4 /dev/mapper/a /data
        ext4 /dev/vdb /jail/data
        mkdir -p /jail/bin
        cp /bin/busybox /jail/bin
        chroot /jail /bin/busybox sleep 100000 >/run/jail 2>&1 &
        echo $! >/run/pid
        until [ \"$(readlink /proc/$!/root)\" = /jail ]; do usleep 100000; done
        put /jail/data
        settle",
    )
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    seen(
        "process-with-a-loop-file-of-its-own",
        "crypt a /dev/vda
        ext4 /dev/mapper/a /below
        truncate -s 64M /below/file
        mkfs.ext4 -q -F -E nodiscard /dev/vdb
        apart \"contents=$contents name=$name
            mount -t ext4 /dev/vdb /below
            truncate -s 64M /below/file
            losetup /dev/loop0 /below/file
            ext4 /dev/loop0 /data
            put /data
            settle\"",
    )
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
];
