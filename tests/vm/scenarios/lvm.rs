//! Logical volumes over and under encryption.

use atrest_tests::vm::scenario::Scenario;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new(
        "lvm-on-luks",
        "luks2 a /dev/vda
        vgcreate -q -y vg /dev/mapper/a
        lvcreate -q -y -n es -L 128M vg
        ext4 /dev/vg/es /data",
    )
    .encrypted(),
    Scenario::new(
        "luks-on-lvm",
        "vgcreate -q -y vg /dev/vda
        lvcreate -q -y -n es -L 128M vg
        luks2 a /dev/vg/es
        ext4 /dev/mapper/a /data",
    )
    .encrypted(),
    Scenario::new(
        "plain-lvm",
        "vgcreate -q -y vg /dev/vda
        lvcreate -q -y -n es -L 128M vg
        ext4 /dev/vg/es /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "lv-spanning-luks-and-plain",
        "luks2 a /dev/vda
        vgcreate -q -y vg /dev/mapper/a /dev/vdb
        lvcreate -q -y -n es -l 8 vg /dev/mapper/a:0-3 /dev/vdb:0-3
        ext4 /dev/vg/es /data",
    )
    .mib(22)
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "lv-striped-over-luks-and-plain",
        "luks2 a /dev/vda
        vgcreate -q -y vg /dev/mapper/a /dev/vdb
        lvcreate -q -y -n es -L 128M -i 2 -I 64k vg
        ext4 /dev/vg/es /data",
    )
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "lv-on-luks-half-of-mixed-vg",
        "luks2 a /dev/vda
        vgcreate -q -y vg /dev/mapper/a /dev/vdb
        lvcreate -q -y -n es -L 128M vg /dev/mapper/a
        ext4 /dev/vg/es /data",
    )
    .encrypted(),
    Scenario::new(
        "lv-on-plain-half-of-mixed-vg",
        "luks2 a /dev/vda
        vgcreate -q -y vg /dev/mapper/a /dev/vdb
        lvcreate -q -y -n es -L 128M vg /dev/vdb
        ext4 /dev/vg/es /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "lv-mirrored-on-luks-and-plain",
        "luks2 a /dev/vda
        vgcreate -q -y vg /dev/mapper/a /dev/vdb
        lvcreate -q -y -n es -L 64M --type raid1 -m 1 --nosync vg
        ext4 /dev/vg/es /data",
    )
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "thin-on-luks",
        "luks2 a /dev/vda
        vgcreate -q -y vg /dev/mapper/a
        lvcreate -q -y -L 128M -T vg/pool
        lvcreate -q -y -n es -V 64M -T vg/pool
        ext4 /dev/vg/es /data",
    )
    .encrypted(),
    Scenario::new(
        "thin-metadata-on-plain",
        "luks2 a /dev/vda
        vgcreate -q -y vg /dev/mapper/a /dev/vdb
        lvcreate -q -y -n pool -L 128M vg /dev/mapper/a
        lvcreate -q -y -n meta -L 8M vg /dev/vdb
        lvconvert -q -y --type thin-pool --poolmetadata vg/meta vg/pool
        lvcreate -q -y -n es -V 64M -T vg/pool
        ext4 /dev/vg/es /data",
    )
    .encrypted(),
    Scenario::new(
        "thin-data-on-plain",
        "luks2 a /dev/vda
        vgcreate -q -y vg /dev/mapper/a /dev/vdb
        lvcreate -q -y -n pool -L 128M vg /dev/vdb
        lvcreate -q -y -n meta -L 8M vg /dev/mapper/a
        lvconvert -q -y --type thin-pool --poolmetadata vg/meta vg/pool
        lvcreate -q -y -n es -V 64M -T vg/pool
        ext4 /dev/vg/es /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "snapshot-store-on-plain",
        "luks2 a /dev/vda
        vgcreate -q -y vg /dev/mapper/a /dev/vdb
        lvcreate -q -y -n es -L 64M vg /dev/mapper/a
        ext4 /dev/vg/es /data
        put /data
        settle
        lvcreate -q -y -s -n snap -L 32M vg/es /dev/vdb
        # What the snapshot keeps is what was overwritten since.
        dd if=/dev/zero of=/data/contents bs=1M count=1 conv=notrunc status=none
        settle",
    )
    .writing(&[])
    .partial(&["plain_cow"], &["/dev/vdb"]),
];
