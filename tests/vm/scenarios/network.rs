//! Block devices that another machine may stand behind.

use atrest_tests::vm::scenario::Scenario;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new("nbd-of-a-plain-disk", "nbd /dev/vda\next4 /dev/nbd0 /data")
        .needs("nbd-server")
        // Only the server knows where it rests.
        .unknown(&["remote_device"])
        .leaks(&["vda"]),
    Scenario::new("luks-on-nbd", "nbd /dev/vda\nluks2 a /dev/nbd0\next4 /dev/mapper/a /data")
        .needs("nbd-server")
        .encrypted(),
    Scenario::new(
        "nbd-beside-luks",
        "crypt a /dev/vda
        nbd /dev/vdb
        md 1 /dev/mapper/a /dev/nbd0
        ext4 /dev/md0 /data",
    )
    .needs("nbd-server")
    .unknown(&["remote_device"])
    .leaks(&["vdb"]),
    Scenario::new("drbd-on-plain", "drbd /dev/vda\next4 /dev/drbd0 /data")
        .needs("drbdsetup-84")
        // Whether there is a peer, and what it does with its copy, this host does not say.
        .partial(&["plain_device", "remote_device"], &["/dev/vda"]),
    Scenario::new("drbd-on-luks", "luks2 a /dev/vda\ndrbd /dev/mapper/a\next4 /dev/drbd0 /data")
        .needs("drbdsetup-84")
        .unknown(&["remote_device"]),
    Scenario::new("luks-on-drbd", "drbd /dev/vda\nluks2 a /dev/drbd0\next4 /dev/mapper/a /data")
        .needs("drbdsetup-84")
        .encrypted(),
];
