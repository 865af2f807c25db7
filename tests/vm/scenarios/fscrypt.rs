//! Encryption by the file system itself, for single directories.

use atrest_tests::vm::Flavour;
use atrest_tests::vm::scenario::Scenario;

/// An encrypted directory and a plain one on a plain disk, each with a directory and the markers' place.
const SETUP: &str = "ext4 /dev/vda /data -O encrypt
    mkdir /data/secret /data/open
    fscrypt /data/secret
    mkdir /data/secret/sub";

pub(super) const ALL: &[Scenario] = &[
    Scenario::new("fscrypt-directory", SETUP)
        .writing(&["/data/secret", "/data/secret/sub"])
        .asking(&["/data/secret", "/data/secret/sub", "/data/secret/sub/contents"])
        .needs("xfs_io")
        .encrypted(),
    Scenario::new("fscrypt-directory-beside-a-plain-one", SETUP)
        .writing(&["/data/secret", "/data/open"])
        .asking(&["/data/open", "/data/open/contents"])
        .needs("xfs_io")
        .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new("fscrypt-asked-at-the-parent", SETUP)
        .writing(&["/data/secret", "/data"])
        .needs("xfs_io")
        .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "fscrypt-link-that-leads-out",
        "ext4 /dev/vda /data -O encrypt
        mkdir /data/secret /data/open
        fscrypt /data/secret
        ln -s /data/open /data/secret/link",
    )
    .writing(&["/data/open"])
    .asking(&["/data/secret/link"])
    .needs("xfs_io")
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "fscrypt-loop-file",
        "ext4 /dev/vda /below -O encrypt
        mkdir /below/secret
        fscrypt /below/secret
        truncate -s 64M /below/secret/file
        losetup /dev/loop0 /below/secret/file
        ext4 /dev/loop0 /data",
    )
    .needs("xfs_io")
    .encrypted(),
    Scenario::new(
        "fscrypt-overlay-upper",
        "ext4 /dev/vda /below -O encrypt
        mkdir /below/secret /lower /data
        fscrypt /below/secret
        mkdir /below/secret/upper /below/secret/work
        mount -t overlay -o lowerdir=/lower,upperdir=/below/secret/upper,workdir=/below/secret/work none /data",
    )
    .needs("xfs_io")
    .encrypted(),
    Scenario::new(
        "fscrypt-with-a-plain-submount",
        "ext4 /dev/vda /data -O encrypt
        mkdir /data/secret
        fscrypt /data/secret
        ext4 /dev/vdb /data/secret/sub",
    )
    .writing(&["/data/secret", "/data/secret/sub"])
    .asking(&["/data/secret"])
    .needs("xfs_io")
    .partial(&["plain_submount"], &["/dev/vdb"]),
    Scenario::new(
        "fscrypt-bind-mount",
        "ext4 /dev/vda /below -O encrypt
        mkdir /below/secret /data
        fscrypt /below/secret
        mount -o bind /below/secret /data",
    )
    .needs("xfs_io")
    .encrypted(),
    Scenario::new(
        "fscrypt-key-removed",
        "ext4 /dev/vda /data -O encrypt
        mkdir /data/secret
        fscrypt /data/secret
        put /data/secret
        settle
        echo 3 >/proc/sys/vm/drop_caches
        xfs_io -c \"rm_enckey $identifier\" /data",
    )
    .writing(&[])
    .asking(&["/data/secret"])
    .needs("xfs_io")
    .encrypted(),
    Scenario::new(
        "fscrypt-on-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /data -O encrypt
        mkdir /data/secret
        fscrypt /data/secret",
    )
    .writing(&["/data", "/data/secret"])
    .asking(&["/data", "/data/secret"])
    .needs("xfs_io")
    .encrypted(),
    Scenario::new(
        "fscrypt-on-f2fs",
        "f2fs /dev/vda /data -O encrypt
        mkdir /data/secret
        fscrypt /data/secret",
    )
    .writing(&["/data/secret"])
    .asking(&["/data/secret"])
    .on(Flavour::Stock)
    .needs("mkfs.f2fs")
    .encrypted(),
    Scenario::new("fscrypt-feature-unused", "ext4 /dev/vda /data -O encrypt")
        .unencrypted(&["plain_device"], &["/dev/vda"]),
];
