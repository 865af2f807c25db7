//! More targets of device-mapper, and the layers that stand beside the contents.

use atrest_tests::vm::scenario::Scenario;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new(
        "era-metadata-on-plain",
        "crypt a /dev/vda
        dmsetup create b --table \"0 $(sectors /dev/mapper/a) era /dev/vdb /dev/mapper/a 128\"
        ext4 /dev/mapper/b /data",
    )
    .encrypted(),
    Scenario::new(
        "era-on-plain",
        "crypt a /dev/vda
        blank /dev/mapper/a
        dmsetup create b --table \"0 $(sectors /dev/vdb) era /dev/mapper/a /dev/vdb 128\"
        ext4 /dev/mapper/b /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "switch-between-luks-and-plain",
        "crypt a /dev/vda
        size=$(sectors /dev/vda)
        dmsetup create b --table \"0 $size switch 2 128 0 /dev/mapper/a 0 /dev/vdb 0\"
        # Every other region to the other path.
        dmsetup message b 0 set_region_mappings 0:0 1:1 $(printf R2,%x $((size / 128 - 2)))
        ext4 /dev/mapper/b /data",
    )
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "unstriped-from-plain",
        "crypt a /dev/vda
        dmsetup create b --table '0 524288 striped 2 128 /dev/mapper/a 0 /dev/vdb 0'
        dmsetup create c --table '0 262144 unstriped 2 128 1 /dev/mapper/b 0'
        ext4 /dev/mapper/c /data",
    )
    // All that is written goes to the plain half; which half it is, only the numbers of the table say.
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "log-writes-to-plain",
        "crypt a /dev/vda
        dmsetup create b --table \"0 $(sectors /dev/vda) log-writes /dev/mapper/a /dev/vdb\"
        ext4 /dev/mapper/b /data",
    )
    .partial(&["plain_journal"], &["/dev/vdb"]),
    Scenario::new(
        "sparse-device-on-plain",
        "dmsetup create z --table '0 262144 zero'
        dmsetup create a --table '0 262144 snapshot /dev/mapper/z /dev/vdb N 8'
        ext4 /dev/mapper/a /data",
    )
    .unencrypted(&["plain_cow"], &["/dev/vdb"]),
    Scenario::new(
        "sparse-device-on-luks",
        "crypt c /dev/vdb
        dmsetup create z --table '0 262144 zero'
        dmsetup create a --table '0 262144 snapshot /dev/mapper/z /dev/mapper/c N 8'
        ext4 /dev/mapper/a /data",
    )
    .encrypted(),
    Scenario::new(
        "error-segment-beside-luks",
        "printf '%s\\n' \"0 131072 crypt aes-xts-plain64 $(hex 64) 0 /dev/vda 0\" \\
            '131072 131072 error' | dmsetup create a
        mkfs.ext4 -q -F -E nodiscard /dev/mapper/a 64m
        mkdir /data
        mount -t ext4 /dev/mapper/a /data",
    )
    .encrypted(),
    Scenario::new(
        "snapshot-merged-from-plain",
        "crypt a /dev/vda
        table=\"0 $(sectors /dev/vda)\"
        dmsetup create o --table \"$table snapshot /dev/mapper/a /dev/vdb P 8\"
        ext4 /dev/mapper/o /data
        put /data
        settle
        umount /data
        dmsetup remove o
        dmsetup create o --table \"$table snapshot-merge /dev/mapper/a /dev/vdb P 8\"
        mount -t ext4 /dev/mapper/o /data
        settle",
    )
    .writing(&[])
    .partial(&["plain_cow"], &["/dev/vdb"]),
    Scenario::new(
        "snapshot-store-on-luks",
        "crypt a /dev/vda
        crypt c /dev/vdb
        blank /dev/mapper/c
        table=\"0 $(sectors /dev/vda)\"
        dmsetup create o --table \"$table snapshot /dev/mapper/a /dev/mapper/c P 8\"
        ext4 /dev/mapper/o /data",
    )
    .encrypted(),
    Scenario::new(
        "thin-with-a-plain-external-origin",
        "ext4 /dev/vdc /data
        put /data
        settle
        umount /data
        crypt a /dev/vda
        dmsetup create pool --table \"0 $(sectors /dev/vda) thin-pool /dev/vdb /dev/mapper/a 128 0\"
        dmsetup message pool 0 'create_thin 0'
        dmsetup create b --table \"0 $(sectors /dev/vdc) thin /dev/mapper/pool 0 /dev/vdc\"
        mount -t ext4 /dev/mapper/b /data
        echo more >/data/more
        settle",
    )
    .writing(&[])
    .partial(&["plain_device"], &["/dev/vdc"]),
    Scenario::new(
        "cache-metadata-on-plain",
        "crypt a /dev/vda
        crypt b /dev/vdb
        table='/dev/vdc /dev/mapper/b /dev/mapper/a 128 1 writeback default 0'
        dmsetup create c --table \"0 $(sectors /dev/vda) cache $table\"
        ext4 /dev/mapper/c /data",
    )
    .encrypted(),
    Scenario::new(
        "writecache-on-luks",
        "crypt a /dev/vda
        crypt b /dev/vdb
        blank /dev/mapper/b
        table=\"0 $(sectors /dev/vda) writecache s /dev/mapper/a /dev/mapper/b 4096 0\"
        dmsetup create c --table \"$table\"
        ext4 /dev/mapper/c /data",
    )
    .encrypted(),
    Scenario::new(
        "writecache-on-luks-of-plain",
        "crypt b /dev/vdb
        blank /dev/mapper/b
        table=\"0 $(sectors /dev/vda) writecache s /dev/vda /dev/mapper/b 4096 0\"
        dmsetup create c --table \"$table\"
        ext4 /dev/mapper/c /data
        put /data
        settle
        dmsetup message c 0 flush",
    )
    .writing(&[])
    .partial(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "multipath-to-luks",
        "crypt a /dev/vda
        table='multipath 2 queue_mode bio 0 1 1 round-robin 0 1 1 /dev/mapper/a 1'
        dmsetup create b --table \"0 $(sectors /dev/vda) $table\"
        ext4 /dev/mapper/b /data",
    )
    .encrypted(),
    Scenario::new(
        "luks-on-multipath",
        "table='multipath 0 0 1 1 round-robin 0 1 1 /dev/vda 1'
        dmsetup create a --table \"0 $(sectors /dev/vda) $table\"
        luks2 b /dev/mapper/a
        ext4 /dev/mapper/b /data",
    )
    .encrypted(),
    Scenario::new(
        "integrity-journal-on-plain",
        "crypt a /dev/vda
        integritysetup format -q --data-device /dev/mapper/a --no-wipe /dev/vdb
        integritysetup open --integrity-recalculate --data-device /dev/mapper/a /dev/vdb b
        ext4 /dev/mapper/b /data",
    )
    .partial(&["plain_journal"], &["/dev/vdb"]),
    Scenario::new(
        "renamed-while-mounted",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /data
        dmsetup rename a 'another name'",
    )
    .asking(&["/data", "/dev/dm-0"])
    .encrypted(),
    Scenario::new(
        "renamed-while-mounted-and-its-name-given-away",
        "linear a /dev/vdb
        ext4 /dev/mapper/a /data
        dmsetup rename a b
        luks2 a /dev/vda",
    )
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "table-reloaded-to-plain",
        "crypt a /dev/vda
        dmsetup create b --table \"0 $(sectors /dev/vda) linear /dev/mapper/a 0\"
        dmsetup load b --table \"0 $(sectors /dev/vdb) linear /dev/vdb 0\"
        dmsetup suspend b
        dmsetup resume b
        ext4 /dev/mapper/b /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "table-loaded-and-not-live",
        "crypt a /dev/vda
        dmsetup create b --table \"0 $(sectors /dev/vdb) linear /dev/vdb 0\"
        dmsetup load b --table \"0 $(sectors /dev/vda) linear /dev/mapper/a 0\"
        ext4 /dev/mapper/b /data",
    )
    // Only the live table counts. The other one's devices are held already.
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "table-loaded-to-plain-and-not-live",
        "crypt a /dev/vda
        dmsetup create b --table \"0 $(sectors /dev/vda) linear /dev/mapper/a 0\"
        dmsetup load b --table \"0 $(sectors /dev/vdb) linear /dev/vdb 0\"
        ext4 /dev/mapper/b /data",
    )
    .encrypted(),
];
