//! Disks without any encryption: the negative control of the whole tier.

use atrest_tests::vm::scenario::Scenario;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new("plain-disk", "ext4 /dev/vda /data")
        .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new("plain-partition", "partition /dev/vda 20480 131072\next4 /dev/vda2 /data")
        .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new("plain-xfs", "xfs /dev/vdc /data").unencrypted(&["plain_device"], &["/dev/vdc"]),
    Scenario::new("plain-btrfs", "mount_btrfs /dev/vdc /data")
        .unencrypted(&["plain_device"], &["/dev/vdc"])
        .needs("mkfs.btrfs"),
    Scenario::new(
        "dead-luks-header-on-plain",
        "luks2 a /dev/vda
        cryptsetup close a
        # mkfs leaves the first KiB alone: the header's magic stays.
        mkfs.ext4 -q -F -E nodiscard /dev/vda
        printf 'LUKS\\272\\276' | dd of=/dev/vda conv=notrunc status=none
        mkdir /data
        mount -t ext4 /dev/vda /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new("memory-without-swap", "mkdir /data\nmount -t tmpfs none /data").volatile(),
    Scenario::new("memory-with-plain-swap", "swap /dev/vdb\nswap_out /data")
        .writing(&[])
        .partial(&["plain_swap"], &["/dev/vdb"]),
    Scenario::new("memory-with-luks-swap", "luks2 a /dev/vdb\nswap /dev/mapper/a\nswap_out /data")
        .writing(&[])
        .volatile(),
    Scenario::new(
        "zram",
        "load zram
        echo 64M >/sys/block/zram0/disksize
        ext4 /dev/zram0 /data",
    )
    .volatile(),
    Scenario::new(
        "zram-written-back-to-plain",
        "load zram
        echo /dev/vdb >/sys/block/zram0/backing_dev
        echo 64M >/sys/block/zram0/disksize
        ext4 /dev/zram0 /data
        # Random words between the markers: what compresses well is not written back.
        mkdir /data/more
        for part in 1 2 3 4; do
            for half in 1 2; do echo \"$contents\"; head -c 4000 /dev/urandom; done
        done >/data/more/contents
        sync
        echo all >/sys/block/zram0/idle
        echo idle >/sys/block/zram0/writeback
        settle",
    )
    .writing(&[])
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "zram-written-back-to-luks",
        "load zram
        luks2 a /dev/vdb
        echo /dev/mapper/a >/sys/block/zram0/backing_dev
        echo 64M >/sys/block/zram0/disksize
        ext4 /dev/zram0 /data
        mkdir /data/more
        for part in 1 2 3 4; do
            for half in 1 2; do echo \"$contents\"; head -c 4000 /dev/urandom; done
        done >/data/more/contents
        sync
        echo all >/sys/block/zram0/idle
        echo idle >/sys/block/zram0/writeback
        settle",
    )
    .writing(&[])
    .encrypted(),
];
