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
    Scenario::new(
        "md-raid4-with-one-plain-leg",
        "crypt a /dev/vda
        crypt b /dev/vdb
        md 4 /dev/mapper/a /dev/vdc /dev/mapper/b
        ext4 /dev/md0 /data",
    )
    .mib(4)
    .partial(&["plain_device"], &["/dev/vdc"]),
    Scenario::new(
        "md-raid6-journal-on-plain",
        "for disk in a b c d; do crypt $disk /dev/vd$disk; done
        mdadm --create /dev/md0 --quiet --run --metadata 1.2 --assume-clean --level 6 \\
            --raid-devices 4 --write-journal /dev/vde /dev/mapper/a /dev/mapper/b /dev/mapper/c /dev/mapper/d
        ext4 /dev/md0 /data",
    )
    .mib(4)
    .partial(&["plain_journal"], &["/dev/vde"]),
    Scenario::new(
        "md-raid5-journal-on-luks",
        "for disk in a b c d; do crypt $disk /dev/vd$disk; done
        mdadm --create /dev/md0 --quiet --run --metadata 1.2 --assume-clean --level 5 \\
            --raid-devices 3 --write-journal /dev/mapper/d /dev/mapper/a /dev/mapper/b /dev/mapper/c
        ext4 /dev/md0 /data",
    )
    .mib(4)
    .encrypted(),
    Scenario::new(
        "md-raid1-that-lost-its-plain-leg",
        "crypt a /dev/vda
        md 1 /dev/mapper/a /dev/vdb
        mdadm --quiet /dev/md0 --fail /dev/vdb --remove /dev/vdb
        ext4 /dev/md0 /data",
    )
    .encrypted(),
    Scenario::new(
        "md-raid1-with-a-failed-plain-leg",
        "crypt a /dev/vda
        md 1 /dev/mapper/a /dev/vdb
        ext4 /dev/md0 /data
        put /data
        settle
        # It stays a member, with all that it was given.
        mdadm --quiet /dev/md0 --fail /dev/vdb",
    )
    .writing(&[])
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "md-raid1-plain-spare-in-use",
        "crypt a /dev/vda
        crypt b /dev/vdb
        mdadm --create /dev/md0 --quiet --run --metadata 1.2 --assume-clean --bitmap none --level 1 \\
            --size 32M --raid-devices 2 --spare-devices 1 /dev/mapper/a /dev/mapper/b /dev/vdc
        ext4 /dev/md0 /data
        mdadm --quiet /dev/md0 --fail /dev/mapper/b
        mdadm --quiet --wait /dev/md0 || :
        mdadm --quiet /dev/md0 --remove /dev/mapper/b",
    )
    .partial(&["plain_device"], &["/dev/vdc"]),
    Scenario::new(
        "md-raid1-rebuilding-onto-plain",
        "crypt a /dev/vda
        md 1 /dev/mapper/a missing
        ext4 /dev/md0 /data
        echo 1 >/proc/sys/dev/raid/speed_limit_max
        mdadm --quiet /dev/md0 --add /dev/vdb",
    )
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "md-imsm-with-one-plain-leg",
        "crypt a /dev/vda
        export IMSM_NO_PLATFORM=1 IMSM_DEVNAME_AS_SERIAL=1
        mdadm --create /dev/md127 --quiet --run --metadata imsm --raid-devices 2 /dev/mapper/a /dev/vdb
        mdadm --create /dev/md126 --quiet --run --level 0 --raid-devices 2 /dev/md127
        ext4 /dev/md126 /data",
    )
    .mib(4)
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "md-ddf-with-one-plain-leg",
        "crypt a /dev/vda
        mdadm --create /dev/md127 --quiet --run --metadata ddf --raid-devices 2 /dev/mapper/a /dev/vdb
        mdadm --create /dev/md126 --quiet --run --level 0 --raid-devices 2 /dev/md127
        ext4 /dev/md126 /data",
    )
    .mib(4)
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "md-ddf-on-luks",
        "crypt a /dev/vda
        crypt b /dev/vdb
        mdadm --create /dev/md127 --quiet --run --metadata ddf --raid-devices 2 /dev/mapper/a /dev/mapper/b
        mdadm --create /dev/md126 --quiet --run --level 0 --raid-devices 2 /dev/md127
        ext4 /dev/md126 /data",
    )
    .mib(4)
    .encrypted(),
];
