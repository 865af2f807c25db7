//! Stacks on which a look may never come back: the agent must answer all the same, and for the rest.

use atrest_tests::vm::scenario::{Scenario, Verdict};

/// How many seconds the agent may take: a few of its deadlines, on a CPU that is twenty times slower.
const PATIENCE: u32 = 30;

const fn hang(name: &'static str, setup: &'static str) -> Scenario {
    Scenario::new(name, setup)
        .writing(&[])
        .also("/other", Verdict::Encrypted)
        .within(PATIENCE)
        .unknown(&["timeout"])
}

pub(super) const ALL: &[Scenario] = &[
    hang(
        "fuse-server-that-never-answers",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /other
        put /other
        settle
        stuck_fuse /data",
    ),
    hang(
        "fuse-server-that-never-answers-below",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /other
        ext4 /dev/vdb /data
        put /data
        settle
        stuck_fuse /data/sub",
    )
    .partial(&["fuse_filesystem", "plain_device"], &["/dev/vdb"]),
    hang(
        "suspended-device-below-a-plain-file",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /other
        linear b /dev/vdb
        ext4 /dev/mapper/b /data
        mkdir -p /data/one/two
        put /data/one/two
        settle
        # Nothing of it must be in memory.
        umount /data
        blockdev --flushbufs /dev/mapper/b
        ext4_kept /dev/mapper/b /data
        dmsetup suspend --nolockfs b",
    )
    .asking(&["/data/one/two/contents"])
    .leaks(&["vdb"]),
    hang(
        "suspended-device-below-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /other
        linear b /dev/vdb
        luks2 c /dev/mapper/b
        ext4 /dev/mapper/c /data
        mkdir -p /data/one/two
        settle
        umount /data
        blockdev --flushbufs /dev/mapper/c
        ext4_kept /dev/mapper/c /data
        dmsetup suspend --nolockfs b",
    )
    .asking(&["/data/one/two"]),
    hang(
        "automount-whose-daemon-never-answers",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /other
        put /other
        settle
        autofs /data :",
    ),
];
