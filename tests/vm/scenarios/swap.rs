//! Memory that reaches a disk, made to do so: the marker is swapped out.

use atrest_tests::vm::scenario::Scenario;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new("swap-on-plain", "swap /dev/vdb")
        .swap("/dev/vdb")
        .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new("swap-on-luks", "luks2 a /dev/vdb\nswap /dev/mapper/a")
        .swap("/dev/mapper/a")
        .encrypted(),
    Scenario::new("swap-on-plain-dm-crypt", "crypt a /dev/vdb\nswap /dev/mapper/a")
        .swap("/dev/mapper/a")
        .encrypted(),
    Scenario::new(
        "swap-on-lvm-on-luks",
        "luks2 a /dev/vda
        vgcreate -q -y vg /dev/mapper/a
        lvcreate -q -y -n swap -L 64M vg
        swap /dev/vg/swap",
    )
    .swap("/dev/mapper/vg-swap")
    .encrypted(),
    Scenario::new(
        "swap-file-on-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /below
        dd if=/dev/zero of=/below/file bs=1M count=32 status=none
        swap /below/file",
    )
    .swap("/below/file")
    .encrypted(),
    Scenario::new(
        "swap-file-on-plain",
        "ext4 /dev/vda /below
        dd if=/dev/zero of=/below/file bs=1M count=32 status=none
        swap /below/file",
    )
    .swap("/below/file")
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "swap-file-hidden-by-a-luks-mount",
        "ext4 /dev/vdb /below
        dd if=/dev/zero of=/below/file bs=1M count=32 status=none
        swap /below/file
        luks2 a /dev/vda
        ext4 /dev/mapper/a /below
        truncate -s 32M /below/file",
    )
    .swap("/below/file")
    .unencrypted(&["plain_device"], &["/dev/vdb"])
    .pending("the kernel does not name a hidden file: unknown will do"),
    Scenario::new(
        "swap-on-zram",
        "load zram
        echo 64M >/sys/block/zram0/disksize
        swap /dev/zram0",
    )
    .swap("/dev/zram0")
    .volatile(),
];
