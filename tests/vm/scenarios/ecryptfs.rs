//! A file system that encrypts each file into another file system.

use atrest_tests::vm::Flavour;
use atrest_tests::vm::scenario::Scenario;

const fn ecryptfs(name: &'static str, setup: &'static str) -> Scenario {
    Scenario::new(name, setup).on(Flavour::Stock).needs("keyctl")
}

pub(super) const ALL: &[Scenario] = &[
    ecryptfs("ecryptfs-on-plain", "ext4 /dev/vda /below\necryptfs /below/files /data names")
        .encrypted(),
    ecryptfs("ecryptfs-plain-names-on-plain", "ext4 /dev/vda /below\necryptfs /below/files /data")
        .partial(&["plain_names"], &["/dev/vda"])
        .leaks(&[]),
    ecryptfs(
        "ecryptfs-plain-names-on-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /below
        ecryptfs /below/files /data",
    )
    .encrypted(),
    ecryptfs(
        "ecryptfs-passing-plaintext-through",
        "ext4 /dev/vda /below
        mkdir /below/files
        put /below/files
        ecryptfs /below/files /data passthrough
        cmp /below/files/contents /data/contents
        settle",
    )
    .writing(&[])
    // What lies there unencrypted may be read and overwritten in place through the mount.
    .partial(&["plain_device", "plain_names"], &["/dev/vda"]),
    ecryptfs(
        "ecryptfs-lower-directory-asked",
        "ext4 /dev/vda /below
        ecryptfs /below/files /data names
        echo \"$contents\" >/below/beside",
    )
    .asking(&["/below"])
    .unencrypted(&["plain_device"], &["/dev/vda"]),
];
