//! bcache: a fast device that holds contents of a slow one.

use atrest_tests::vm::scenario::Scenario;

const fn bcache(name: &'static str, setup: &'static str) -> Scenario {
    Scenario::new(name, setup).needs("make-bcache")
}

pub(super) const ALL: &[Scenario] = &[
    bcache(
        "bcache-cache-on-plain",
        "crypt a /dev/vda
        bcache /dev/mapper/a /dev/vdb
        ext4 /dev/bcache0 /data",
    )
    .partial(&["plain_cache"], &["/dev/vdb"]),
    bcache(
        "bcache-on-two-luks",
        "luks2 a /dev/vda
        luks2 b /dev/vdb
        bcache /dev/mapper/a /dev/mapper/b
        ext4 /dev/bcache0 /data",
    )
    .encrypted(),
    bcache("bcache-without-a-cache", "bcache /dev/vda\next4 /dev/bcache0 /data")
        .unencrypted(&["plain_device"], &["/dev/vda"]),
    bcache(
        "bcache-without-a-cache-on-luks",
        "luks2 a /dev/vda
        bcache /dev/mapper/a
        ext4 /dev/bcache0 /data",
    )
    .encrypted(),
    bcache(
        "bcache-backing-on-plain",
        "crypt a /dev/vda
        bcache /dev/vdb /dev/mapper/a
        echo writethrough >/sys/block/bcache0/bcache/cache_mode
        ext4 /dev/bcache0 /data",
    )
    .partial(&["plain_device"], &["/dev/vdb"]),
    bcache(
        "bcache-plain-cache-detached",
        "crypt a /dev/vda
        bcache /dev/mapper/a /dev/vdb
        echo 1 >/sys/block/bcache0/bcache/detach
        until [ \"$(cat /sys/block/bcache0/bcache/state)\" = 'no cache' ]; do usleep 100000; done
        ext4 /dev/bcache0 /data",
    )
    .encrypted(),
    Scenario::new(
        "luks-on-plain-bcache",
        "bcache /dev/vda /dev/vdb
        luks2 a /dev/bcache0
        ext4 /dev/mapper/a /data",
    )
    .needs("make-bcache")
    .encrypted(),
];
