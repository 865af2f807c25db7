//! Loop devices: the way goes on from the backing file.

use atrest_tests::vm::scenario::Scenario;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new(
        "loop-file-on-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /below
        truncate -s 64M /below/file
        losetup /dev/loop0 /below/file
        ext4 /dev/loop0 /data",
    )
    .encrypted(),
    Scenario::new(
        "luks-on-loop-file-on-plain",
        "ext4 /dev/vda /below
        truncate -s 64M /below/file
        losetup /dev/loop0 /below/file
        luks2 a /dev/loop0
        ext4 /dev/mapper/a /data",
    )
    .encrypted(),
    Scenario::new(
        "loop-file-on-plain",
        "ext4 /dev/vda /below
        truncate -s 64M /below/file
        losetup /dev/loop0 /below/file
        ext4 /dev/loop0 /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "loop-file-on-loop-file-on-plain",
        "ext4 /dev/vda /below
        truncate -s 128M /below/file
        losetup /dev/loop0 /below/file
        ext4 /dev/loop0 /between
        truncate -s 64M /between/file
        losetup /dev/loop1 /between/file
        ext4 /dev/loop1 /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "loop-on-a-plain-disk",
        "losetup /dev/loop0 /dev/vda
        ext4 /dev/loop0 /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "loop-on-a-luks-device",
        "luks2 a /dev/vda
        losetup /dev/loop0 /dev/mapper/a
        ext4 /dev/loop0 /data",
    )
    .encrypted(),
    Scenario::new(
        "partition-of-a-loop-file-on-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /below
        truncate -s 64M /below/file
        losetup -P /dev/loop0 /below/file
        partition /dev/loop0 65536
        ext4 /dev/loop0p1 /data",
    )
    .encrypted(),
    Scenario::new(
        "loop-file-deleted-on-plain",
        "ext4 /dev/vda /below
        truncate -s 64M /below/file
        losetup /dev/loop0 /below/file
        rm /below/file
        ext4 /dev/loop0 /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "loop-file-hidden-by-a-luks-mount",
        "mount_btrfs /dev/vdb /below
        truncate -s 64M /below/file
        losetup /dev/loop0 /below/file
        luks2 a /dev/vda
        ext4 /dev/mapper/a /below
        truncate -s 64M /below/file
        ext4 /dev/loop0 /data",
    )
    .needs("mkfs.btrfs")
    .unencrypted(&["plain_device"], &["/dev/vdb"])
    .pending("the kernel does not name a hidden file: unknown will do"),
    Scenario::new(
        "luks-on-a-partition-of-a-loop-file-on-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /below
        truncate -s 96M /below/file
        losetup -P /dev/loop0 /below/file
        partition /dev/loop0 163840
        luks2 b /dev/loop0p1
        ext4 /dev/mapper/b /data",
    )
    .encrypted(),
    Scenario::new(
        "loop-file-deleted-on-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /below
        truncate -s 64M /below/file
        losetup /dev/loop0 /below/file
        rm /below/file
        ext4 /dev/loop0 /data",
    )
    .encrypted(),
    Scenario::new(
        "loop-file-renamed-on-plain",
        "ext4 /dev/vda /below
        truncate -s 64M /below/file
        losetup /dev/loop0 /below/file
        ext4 /dev/loop0 /data
        mv /below/file /below/other
        luks2 a /dev/vdb
        ext4 /dev/mapper/a /elsewhere
        ln -s /elsewhere/file /below/file
        truncate -s 64M /elsewhere/file",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "loop-detached-while-mounted",
        "ext4 /dev/vda /below
        truncate -s 64M /below/file
        losetup /dev/loop0 /below/file
        ext4 /dev/loop0 /data
        # It goes when the last user does.
        losetup -d /dev/loop0",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "loop-file-unmounted-lazily",
        "ext4 /dev/vda /below
        truncate -s 64M /below/file
        losetup /dev/loop0 /below/file
        ext4 /dev/loop0 /data
        umount -l /below",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "loop-file-in-another-mount-namespace",
        "mkdir /below
        mkfs.ext4 -q -F -E nodiscard /dev/vda
        apart 'mount -t ext4 /dev/vda /below
            truncate -s 64M /below/file
            losetup /dev/loop0 /below/file'
        ext4 /dev/loop0 /data",
    )
    .needs("unshare")
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "loop-file-in-another-mount-namespace-luks-here",
        "luks2 a /dev/vdb
        ext4 /dev/mapper/a /below
        truncate -s 64M /below/file
        mkfs.ext4 -q -F -E nodiscard /dev/vda
        apart 'mount -t ext4 /dev/vda /below
            truncate -s 64M /below/file
            losetup /dev/loop0 /below/file'
        ext4 /dev/loop0 /data",
    )
    .needs("unshare")
    .unencrypted(&["plain_device"], &["/dev/vda"]),
];
