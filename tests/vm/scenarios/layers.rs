//! Device-mapper targets that are no encryption, and those that put contents somewhere else.

use atrest_tests::vm::scenario::Scenario;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new("linear-over-luks", "luks2 a /dev/vda\nlinear b /dev/mapper/a\next4 /dev/mapper/b /data")
        .encrypted(),
    Scenario::new(
        "verity-on-plain",
        "mkfs.ext4 -q -F -E nodiscard -b 4096 /dev/vda 32m
        mkdir /data
        mount -t ext4 /dev/vda /data
        put /data
        settle
        umount /data
        veritysetup format --data-blocks 8192 /dev/vda /dev/vdb >/run/verity
        veritysetup open /dev/vda a /dev/vdb $(sed -n 's/^Root hash:[[:space:]]*//p' /run/verity)
        mount -t ext4 -o ro /dev/mapper/a /data",
    )
    .writing(&[])
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "verity-hashes-on-plain",
        "luks2 c /dev/vda
        mkfs.ext4 -q -F -E nodiscard -b 4096 /dev/mapper/c 32m
        mkdir /data
        mount -t ext4 /dev/mapper/c /data
        put /data
        settle
        umount /data
        veritysetup format --data-blocks 8192 /dev/mapper/c /dev/vdb >/run/verity
        veritysetup open /dev/mapper/c a /dev/vdb $(sed -n 's/^Root hash:[[:space:]]*//p' /run/verity)
        mount -t ext4 -o ro /dev/mapper/a /data",
    )
    .writing(&[])
    .encrypted(),
    Scenario::new(
        "integrity-on-plain",
        "partition /dev/vda 65536
        integritysetup format -q /dev/vda1
        integritysetup open /dev/vda1 a
        ext4 /dev/mapper/a /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "delay-on-plain",
        "dmsetup create a --table \"0 $(sectors /dev/vda) delay /dev/vda 0 0\"
        ext4 /dev/mapper/a /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "cache-on-plain",
        "luks2 a /dev/vda
        table=\"0 $(sectors /dev/mapper/a) cache\"
        partition /dev/vdb 16384 65536
        table=\"$table /dev/vdb1 /dev/vdb2 /dev/mapper/a 128 1 writeback default 0\"
        dmsetup create b --table \"$table\"
        ext4 /dev/mapper/b /data
        # What is read again and again is what a cache keeps.
        put /data
        settle
        for round in 1 2 3 4 5 6 7 8; do
            echo 3 >/proc/sys/vm/drop_caches
            cat /data/contents >/dev/null
            dd if=/data/contents of=/data/contents bs=64k conv=notrunc status=none
            sync
        done
        settle",
    )
    .writing(&[])
    .partial(&["plain_cache"], &["/dev/vdb"]),
    Scenario::new(
        "writecache-on-plain",
        "luks2 a /dev/vda
        table=\"0 $(sectors /dev/mapper/a) writecache s /dev/mapper/a /dev/vdb 4096 0\"
        dmsetup create b --table \"$table\"
        ext4 /dev/mapper/b /data",
    )
    .partial(&["plain_cache"], &["/dev/vdb"]),
    Scenario::new(
        "mirror-with-one-plain-leg",
        "luks2 a /dev/vda
        table=\"0 262144 mirror core 2 1024 nosync 2 /dev/mapper/a 0 /dev/vdb 0\"
        dmsetup create b --table \"$table\"
        ext4 /dev/mapper/b /data",
    )
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "ext4-journal-on-plain",
        "luks2 a /dev/vda
        mkfs.ext4 -q -F -b 4096 -O journal_dev /dev/vdb
        ext4 /dev/mapper/a /data -b 4096 -J device=/dev/vdb
        umount /data
        # Journals of contents, too: the default would let only names out.
        mount -t ext4 -o data=journal /dev/mapper/a /data",
    )
    .partial(&["plain_journal"], &["/dev/vdb"]),
    Scenario::new(
        "xfs-log-on-plain",
        "luks2 a /dev/vda
        mkfs.xfs -q -f -K -l logdev=/dev/vdb,size=64m /dev/mapper/a
        mkdir /data
        mount -t xfs -o logdev=/dev/vdb /dev/mapper/a /data",
    )
    .partial(&["plain_journal"], &["/dev/vdb"])
    // A log of metadata holds names.
    .leaks(&[]),
    Scenario::new(
        "btrfs-over-luks-and-plain",
        "luks2 a /dev/vda
        mkfs.btrfs -q -f -K -d raid1 -m raid1 /dev/mapper/a /dev/vdb
        mkdir /data
        mount -t btrfs -o device=/dev/mapper/a,device=/dev/vdb /dev/mapper/a /data",
    )
    .needs("mkfs.btrfs")
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "btrfs-over-two-luks",
        "luks2 a /dev/vda
        luks2 b /dev/vdb
        mkfs.btrfs -q -f -K -d raid1 -m raid1 /dev/mapper/a /dev/mapper/b
        mkdir /data
        mount -t btrfs -o device=/dev/mapper/a,device=/dev/mapper/b /dev/mapper/a /data",
    )
    .needs("mkfs.btrfs")
    .encrypted(),
    Scenario::new(
        "btrfs-grown-from-a-plain-seed",
        "mount_btrfs /dev/vdb /data
        put /data
        settle
        umount /data
        btrfstune -S 1 /dev/vdb
        luks2 a /dev/vda
        mount -t btrfs /dev/vdb /data
        btrfs device add -f /dev/mapper/a /data
        mount -o remount,rw /data
        echo more >/data/more",
    )
    .writing(&[])
    .needs("btrfstune")
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "flakey-on-plain",
        "dmsetup create a --table \"0 $(sectors /dev/vda) flakey /dev/vda 0 60 0\"
        ext4 /dev/mapper/a /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "multipath-to-plain",
        "table='multipath 0 0 1 1 round-robin 0 1 1 /dev/vda 1'
        dmsetup create a --table \"0 $(sectors /dev/vda) $table\"
        ext4 /dev/mapper/a /data",
    )
    .unencrypted(&["plain_device"], &["/dev/vda"]),
];
