//! File systems that only the stock kernel has, and those with more than one device.

use atrest_tests::vm::Flavour;
use atrest_tests::vm::scenario::Scenario;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new("f2fs-on-plain", "f2fs /dev/vda /data")
        .on(Flavour::Stock)
        .needs("mkfs.f2fs")
        .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new("f2fs-on-luks", "luks2 a /dev/vda\nf2fs /dev/mapper/a /data")
        .on(Flavour::Stock)
        .needs("mkfs.f2fs")
        .encrypted(),
    Scenario::new(
        "f2fs-over-luks-and-plain",
        "partition /dev/vda 98304
        crypt a /dev/vda1
        f2fs /dev/mapper/a /data -c /dev/vdb",
    )
    .mib(48)
    .on(Flavour::Stock)
    .needs("mkfs.f2fs")
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "f2fs-over-two-luks",
        "crypt a /dev/vda
        crypt b /dev/vdb
        f2fs /dev/mapper/a /data -c /dev/mapper/b",
    )
    .on(Flavour::Stock)
    .needs("mkfs.f2fs")
    .encrypted(),
    Scenario::new(
        "jfs-on-plain",
        "mkfs.jfs -q /dev/vda
        mkdir /data
        mount -t jfs /dev/vda /data",
    )
    .on(Flavour::Stock)
    .needs("mkfs.jfs")
    .unencrypted(&["plain_device"], &["/dev/vda"])
    .pending("jfs is not known yet"),
    Scenario::new(
        "nilfs2-on-luks",
        "luks2 a /dev/vda
        mkfs.nilfs2 -q -f -K /dev/mapper/a
        mkdir /data
        mount -i -t nilfs2 /dev/mapper/a /data",
    )
    .on(Flavour::Stock)
    .needs("mkfs.nilfs2")
    .encrypted(),
    Scenario::new(
        "nilfs2-on-plain",
        "mkfs.nilfs2 -q -f -K /dev/vda
        mkdir /data
        mount -i -t nilfs2 /dev/vda /data",
    )
    .on(Flavour::Stock)
    .needs("mkfs.nilfs2")
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "reiserfs-on-plain",
        "mkfs.reiserfs -q -f -f /dev/vda
        mkdir /data
        mount -t reiserfs /dev/vda /data",
    )
    .on(Flavour::Stock)
    .needs("mkfs.reiserfs")
    .unencrypted(&["plain_device"], &["/dev/vda"])
    .pending("reiserfs is not known yet"),
    Scenario::new(
        "squashfs-on-luks",
        "luks2 a /dev/vda
        mkdir /source /data
        put /source
        mksquashfs /source /dev/mapper/a -quiet -no-progress -noappend -noI -noD -noF -noX
        mount -t squashfs /dev/mapper/a /data
        settle",
    )
    .writing(&[])
    .needs("mksquashfs")
    .encrypted(),
    Scenario::new(
        "squashfs-on-plain",
        "mkdir /source /data
        put /source
        mksquashfs /source /dev/vda -quiet -no-progress -noappend -noI -noD -noF -noX
        mount -t squashfs /dev/vda /data
        settle",
    )
    .writing(&[])
    .needs("mksquashfs")
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "xfs-real-time-device-on-plain",
        "crypt a /dev/vda
        mkfs.xfs -q -f -K -d rtinherit=1 -r rtdev=/dev/vdb /dev/mapper/a
        mkdir /data
        mount -t xfs -o rtdev=/dev/vdb /dev/mapper/a /data",
    )
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "xfs-real-time-device-on-luks",
        "crypt a /dev/vda
        luks2 b /dev/vdb
        mkfs.xfs -q -f -K -d rtinherit=1 -r rtdev=/dev/mapper/b /dev/mapper/a
        mkdir /data
        mount -t xfs -o rtdev=/dev/mapper/b /dev/mapper/a /data",
    )
    .encrypted(),
    Scenario::new(
        "btrfs-subvolume-on-luks",
        "crypt a /dev/vda
        mount_btrfs /dev/mapper/a /below
        btrfs -q subvolume create /below/es
        mkdir /data
        mount -t btrfs -o subvol=es /dev/mapper/a /data",
    )
    .needs("btrfs")
    .encrypted(),
    Scenario::new(
        "btrfs-subvolume-over-luks-and-plain",
        "crypt a /dev/vda
        mkfs.btrfs -q -f -K -d raid1 -m raid1 /dev/mapper/a /dev/vdb
        mkdir /below /data
        mount -t btrfs -o device=/dev/mapper/a,device=/dev/vdb /dev/mapper/a /below
        btrfs -q subvolume create /below/es
        mount -t btrfs -o subvol=es /dev/mapper/a /data
        umount /below",
    )
    .needs("btrfs")
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "ext4-journal-on-another-luks",
        "crypt a /dev/vda
        crypt b /dev/vdb
        mkfs.ext4 -q -F -b 4096 -O journal_dev /dev/mapper/b
        ext4 /dev/mapper/a /data -b 4096 -J device=/dev/mapper/b
        umount /data
        mount -t ext4 -o data=journal /dev/mapper/a /data",
    )
    .encrypted(),
    Scenario::new("ramfs-with-plain-swap", "swap /dev/vdb\nmkdir /data\nmount -t ramfs none /data")
        .volatile(),
];
