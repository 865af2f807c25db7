//! What is mounted where: below, above, twice, and under odd names.

use atrest_tests::vm::scenario::Scenario;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new(
        "plain-submount-under-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /data
        ext4 /dev/vdb /data/sub",
    )
    .writing(&["/data", "/data/sub"])
    .partial(&["plain_submount"], &["/dev/vdb"]),
    Scenario::new(
        "luks-submount-under-plain",
        "ext4 /dev/vdb /data
        luks2 a /dev/vda
        ext4 /dev/mapper/a /data/sub",
    )
    .writing(&["/data", "/data/sub"])
    .partial(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "bind-mount-of-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /below
        mkdir /below/es /data
        mount -o bind /below/es /data",
    )
    .encrypted(),
    Scenario::new(
        "bind-mount-of-plain-over-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /data
        ext4 /dev/vdb /below
        mkdir /below/es /data/es
        mount -o bind /below/es /data/es",
    )
    .writing(&["/data/es"])
    .asking(&["/data/es"])
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "luks-mounted-over-plain-in-use",
        "ext4 /dev/vdb /data
        exec 5>/data/opened
        luks2 a /dev/vda
        ext4 /dev/mapper/a /data
        # Whoever was there before goes on writing there.
        yes \"$contents\" | head -c 1048576 >&5
        settle",
    )
    .writing(&[])
    .partial(&["plain_submount"], &["/dev/vdb"]),
    Scenario::new(
        "odd-names",
        "luks2 'cr #1' /dev/vda
        ext4 '/dev/mapper/cr\\x20#1' \"$(printf '/odd \\\\name\\nof\\ta mount')\"",
    )
    .writing(&["/odd \\name\nof\ta mount"])
    .asking(&["/odd \\name\nof\ta mount"])
    .encrypted(),
    Scenario::new("odd-names-plain", "ext4 /dev/vda \"$(printf '/odd \\\\040name\\nof a mount')\"")
        .writing(&["/odd \\040name\nof a mount"])
        .asking(&["/odd \\040name\nof a mount"])
        .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "overlay-with-a-plain-upper",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /lower
        ext4 /dev/vdb /upper
        mkdir /upper/upper /upper/work /data
        mount -t overlay -o lowerdir=/lower,upperdir=/upper/upper,workdir=/upper/work none /data",
    )
    // What is written goes to the upper directory alone.
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "overlay-with-a-luks-upper",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /upper
        mkdir /lower /upper/upper /upper/work /data
        mount -t overlay -o lowerdir=/lower,upperdir=/upper/upper,workdir=/upper/work none /data",
    )
    .encrypted(),
    Scenario::new(
        "overlay-luks-upper-over-a-plain-lower",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /upper
        ext4 /dev/vdb /lower
        mkdir /upper/upper /upper/work /data
        mount -t overlay -o lowerdir=/lower,upperdir=/upper/upper,workdir=/upper/work none /data",
    )
    // The lower directory is never written: what lies there came another way, and is judged where that is.
    .encrypted(),
    Scenario::new(
        "overlay-upper-hidden-by-luks",
        "ext4 /dev/vdb /upper
        mkdir /lower /upper/upper /upper/work /data
        mount -t overlay -o lowerdir=/lower,upperdir=/upper/upper,workdir=/upper/work none /data
        luks2 a /dev/vda
        ext4 /dev/mapper/a /upper
        mkdir /upper/upper /upper/work",
    )
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "bind-mount-of-plain-file-in-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /data
        ext4 /dev/vdb /below
        : >/below/file
        : >/data/file
        mount -o bind /below/file /data/file
        yes \"$contents\" | head -c 1048576 >/data/file
        settle",
    )
    .writing(&[])
    .partial(&["plain_submount"], &["/dev/vdb"]),
    Scenario::new(
        "path-that-does-not-exist",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /data",
    )
    .asking(&["/data/not/there"])
    .unknown(&["not_found"]),
    Scenario::new(
        "automount-of-luks",
        "luks2 a /dev/vda
        mkfs.ext4 -q -F -E nodiscard /dev/mapper/a
        autofs /data 'mount -t ext4 /dev/mapper/a /data'",
    )
    .encrypted()
    .within(60),
    Scenario::new(
        "automount-of-plain",
        "mkfs.ext4 -q -F -E nodiscard /dev/vdb
        autofs /data 'mount -t ext4 /dev/vdb /data'",
    )
    .unencrypted(&["plain_device"], &["/dev/vdb"])
    .within(60),
];
