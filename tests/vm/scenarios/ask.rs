//! The same question asked in every way there is must get the same answer.

use atrest_tests::vm::scenario::Scenario;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new(
        "ask-in-every-way-encrypted",
        "luks2 a /dev/vda
        vgcreate -q -y v-g /dev/mapper/a
        lvcreate -q -y -n e-s -L 128M v-g
        ext4 /dev/v-g/e-s /data
        ln -s /data /link
        mkdir /dev/disk /dev/disk/by-uuid
        ln -s ../../dm-1 /dev/disk/by-uuid/0123",
    )
    .asking(&[
        "/data",
        "/link",
        "/link/contents",
        "/data/",
        "/link/../data/.",
        "/dev/dm-1",
        "/dev/mapper/v--g-e--s",
        "/dev/v-g/e-s",
        "/dev/disk/by-uuid/0123",
    ])
    .encrypted(),
    Scenario::new(
        "ask-in-every-way-partial",
        "luks2 a /dev/vda
        vgcreate -q -y v-g /dev/mapper/a /dev/vdb
        lvcreate -q -y -n e-s -L 128M -i 2 -I 64k v-g
        ext4 /dev/v-g/e-s /data
        ln -s /data /link
        mkdir /dev/disk /dev/disk/by-uuid
        ln -s ../../dm-1 /dev/disk/by-uuid/0123",
    )
    .asking(&[
        "/data",
        "/link",
        "/link/contents",
        "/data/",
        "/link/../data/.",
        "/dev/dm-1",
        "/dev/mapper/v--g-e--s",
        "/dev/v-g/e-s",
        "/dev/disk/by-uuid/0123",
    ])
    .partial(&["plain_device"], &["/dev/vdb"]),
];
