//! Linux software RAID over and under encryption.

use atrest_tests::vm::scenario::Scenario;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new(
        "md-raid1-on-two-luks",
        "luks2 a /dev/vda
        luks2 b /dev/vdb
        md 1 /dev/mapper/a /dev/mapper/b
        ext4 /dev/md0 /data",
    )
    .encrypted(),
    Scenario::new(
        "luks-on-md-raid1",
        "md 1 /dev/vda /dev/vdb
        luks2 a /dev/md0
        ext4 /dev/mapper/a /data",
    )
    .encrypted(),
    Scenario::new("plain-md-raid1", "md 1 /dev/vda /dev/vdb\next4 /dev/md0 /data")
        .unencrypted(&["plain_device"], &["/dev/vda", "/dev/vdb"]),
    Scenario::new(
        "md-raid1-with-one-plain-leg",
        "luks2 a /dev/vda
        md 1 /dev/mapper/a /dev/vdb
        ext4 /dev/md0 /data",
    )
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "md-raid0-with-one-plain-leg",
        "luks2 a /dev/vda
        md 0 /dev/mapper/a /dev/vdb
        ext4 /dev/md0 /data",
    )
    .mib(4)
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "md-linear-with-one-plain-leg",
        "partition /dev/vda 65536
        luks2 a /dev/vda1
        partition /dev/vdb 65536
        md linear /dev/mapper/a /dev/vdb1
        ext4 /dev/md0 /data",
    )
    .mib(30)
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "md-raid5-with-one-plain-leg",
        "luks2 a /dev/vda
        luks2 b /dev/vdb
        md 5 /dev/mapper/a /dev/mapper/b /dev/vdc
        ext4 /dev/md0 /data",
    )
    .mib(4)
    .partial(&["plain_device"], &["/dev/vdc"]),
    Scenario::new(
        "md-raid6-on-luks",
        "for disk in a b c d; do luks2 $disk /dev/vd$disk; done
        md 6 /dev/mapper/a /dev/mapper/b /dev/mapper/c /dev/mapper/d
        ext4 /dev/md0 /data",
    )
    .mib(4)
    .encrypted(),
    Scenario::new(
        "md-raid10-with-one-plain-leg",
        "for disk in a b c; do luks2 $disk /dev/vd$disk; done
        md 10 /dev/mapper/a /dev/mapper/b /dev/mapper/c /dev/vdd
        ext4 /dev/md0 /data",
    )
    .mib(4)
    .partial(&["plain_device"], &["/dev/vdd"]),
    Scenario::new(
        "md-raid5-journal-on-plain",
        "for disk in a b c; do luks2 $disk /dev/vd$disk; done
        mdadm --create /dev/md0 --quiet --run --metadata 1.2 --assume-clean --level 5 \\
            --raid-devices 3 --write-journal /dev/vdd /dev/mapper/a /dev/mapper/b /dev/mapper/c
        ext4 /dev/md0 /data",
    )
    .mib(4)
    .partial(&["plain_journal"], &["/dev/vdd"]),
    Scenario::new(
        "md-raid1-with-a-plain-spare",
        "luks2 a /dev/vda
        luks2 b /dev/vdb
        mdadm --create /dev/md0 --quiet --run --metadata 1.2 --assume-clean --bitmap none --level 1 \\
            --raid-devices 2 --spare-devices 1 /dev/mapper/a /dev/mapper/b /dev/vdc
        ext4 /dev/md0 /data",
    )
    .encrypted(),
    Scenario::new(
        "partition-on-md-with-one-plain-leg",
        "luks2 a /dev/vda
        md 1 /dev/mapper/a /dev/vdb
        partition /dev/md0 131072
        ext4 /dev/md0p1 /data",
    )
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "five-layers",
        "partition /dev/vda 524288
        partition /dev/vdb 524288
        md 1 /dev/vda1 /dev/vdb1
        luks2 a /dev/md0
        vgcreate -q -y vg /dev/mapper/a
        lvcreate -q -y -n es -L 64M vg
        ext4 /dev/vg/es /data",
    )
    .encrypted(),
];
