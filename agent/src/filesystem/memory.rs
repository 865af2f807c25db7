//! File systems without a disk: the kernel's own interfaces, and memory.

use atrest_proto::model::Reason;

use super::flag;
use crate::layer::Leg;
use crate::snapshot::{FilesystemFacts, Mount};

/// Interfaces of the kernel: what is written there is not stored as a file.
pub(super) const PSEUDO: &[&str] = &[
    "proc",
    "sysfs",
    "devpts",
    "cgroup",
    "cgroup2",
    "securityfs",
    "debugfs",
    "tracefs",
    "configfs",
    "fusectl",
    "mqueue",
    "pstore",
    "efivarfs",
    "binfmt_misc",
    "bpf",
    "selinuxfs",
    "smackfs",
    "rpc_pipefs",
    "nsfs",
    "resctrl",
    "nfsd",
    "cpuset",
    "functionfs",
];
/// Memory that the kernel may swap out (`Documentation/filesystems/tmpfs.rst`). The first root is a tmpfs since Linux 3.13,
/// unless another one is named at boot (`Documentation/filesystems/ramfs-rootfs-initramfs.rst`).
pub(super) const SWAPPABLE: &[&str] = &["tmpfs", "devtmpfs", "rootfs"];
/// Memory that is never swapped out.
pub(super) const PINNED: &[&str] = &["ramfs", "hugetlbfs"];
/// A place where something will be mounted on first use.
pub(super) const AUTOMOUNT: &[&str] = &["autofs"];

pub(super) fn nothing(_mount: &Mount, _facts: &FilesystemFacts) -> Vec<Leg> {
    vec![Leg::Nothing]
}

/// Since Linux 6.4 a tmpfs may be mounted so that it is never swapped out.
pub(super) fn swappable(mount: &Mount, _facts: &FilesystemFacts) -> Vec<Leg> {
    vec![if flag(mount, "noswap") { Leg::Memory } else { Leg::SwappableMemory }]
}

pub(super) fn pinned(_mount: &Mount, _facts: &FilesystemFacts) -> Vec<Leg> {
    vec![Leg::Memory]
}

/// What will be mounted is not known before it is. The kernel's own interfaces below `/proc` hold nothing.
pub(super) fn automount(mount: &Mount, _facts: &FilesystemFacts) -> Vec<Leg> {
    if mount.mount_point.is_at_or_below(&"/proc".into()) {
        return vec![Leg::Nothing];
    }
    vec![Leg::Unknown {
        reason: Reason::UnknownFilesystem,
        detail: format!("{}: an automount point that nothing is mounted on yet", mount.mount_point),
    }]
}

#[cfg(test)]
mod tests {
    use super::super::tests::mount;
    use super::*;

    #[test]
    fn memory_may_be_swapped_out_unless_it_is_told_not_to() {
        let legs = |options| swappable(&mount("tmpfs", options), &FilesystemFacts::default());
        assert_eq!(legs("rw,size=1k"), [Leg::SwappableMemory]);
        assert_eq!(legs("rw,noswap"), [Leg::Memory]);
    }

    #[test]
    fn the_first_root_may_be_swapped_out() {
        let legs =
            |fstype| super::super::dissect(&mount(fstype, "rw"), &FilesystemFacts::default());
        assert_eq!(legs("rootfs"), [Leg::SwappableMemory]);
        assert_eq!(legs("ramfs"), [Leg::Memory]);
    }
}
