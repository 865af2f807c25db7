//! File systems: where the contents of each kind go.
//!
//! Each family is one file; [`FILESYSTEMS`] names them all. One that is not named is unknown, never a pass.

mod bcachefs;
mod block;
mod btrfs;
mod ecryptfs;
mod f2fs;
mod fuse;
mod memory;
mod overlay;
mod remote;
mod zfs;

use atrest_proto::model::Reason;

use crate::layer::Leg;
use crate::mounts;
use crate::snapshot::{FilesystemFacts, Mount};

/// A family of file systems that let their contents rest in the same way.
pub struct Filesystem {
    /// As mountinfo names them. A name that ends in `.` stands for all its subtypes.
    pub names: &'static [&'static str],
    pub dissect: fn(&Mount, &FilesystemFacts) -> Vec<Leg>,
}

/// Every file system that is known.
pub static FILESYSTEMS: &[Filesystem] = &[
    Filesystem { names: block::EXT_WITH_JOURNAL, dissect: block::ext },
    Filesystem { names: block::XFS, dissect: block::xfs },
    Filesystem { names: block::SINGLE_DEVICE, dissect: block::single },
    Filesystem { names: f2fs::NAMES, dissect: f2fs::dissect },
    Filesystem { names: btrfs::NAMES, dissect: btrfs::dissect },
    Filesystem { names: bcachefs::NAMES, dissect: bcachefs::dissect },
    Filesystem { names: zfs::NAMES, dissect: zfs::dissect },
    Filesystem { names: ecryptfs::NAMES, dissect: ecryptfs::dissect },
    Filesystem { names: overlay::NAMES, dissect: overlay::dissect },
    Filesystem { names: memory::PSEUDO, dissect: memory::nothing },
    Filesystem { names: memory::SWAPPABLE, dissect: memory::swappable },
    Filesystem { names: memory::PINNED, dissect: memory::pinned },
    Filesystem { names: memory::AUTOMOUNT, dissect: memory::automount },
    Filesystem { names: remote::REMOTE, dissect: remote::remote },
    Filesystem { names: fuse::CLAIM_TO_ENCRYPT, dissect: fuse::claim },
    Filesystem { names: fuse::NAMES, dissect: fuse::dissect },
];

/// Whether files of this kind of file system are on this host, so that looking at them does not wait for a server or
/// a program.
pub fn is_local(fstype: &str) -> bool {
    let elsewhere =
        [remote::REMOTE, fuse::CLAIM_TO_ENCRYPT, fuse::NAMES, memory::AUTOMOUNT].concat();
    !elsewhere
        .iter()
        .any(|name| if name.ends_with('.') { fstype.starts_with(name) } else { fstype == *name })
}

/// Where the contents of a mounted file system go.
pub fn dissect(mount: &Mount, facts: &FilesystemFacts) -> Vec<Leg> {
    let known = FILESYSTEMS.iter().find(|known| {
        known.names.iter().any(|name| {
            if name.ends_with('.') { mount.fstype.starts_with(name) } else { mount.fstype == *name }
        })
    });
    known.map_or_else(
        || {
            let detail = format!("{}: file system `{}`", mount.mount_point, mount.fstype);
            vec![Leg::Unknown { reason: Reason::UnknownFilesystem, detail }]
        },
        |known| (known.dissect)(mount, facts),
    )
}

/// The value of an option such as `logdev=/dev/sdb` among the super options.
fn option<'a>(mount: &'a Mount, name: &str) -> Option<&'a str> {
    debug_assert!(mounts::keeps(name), "{name} is not among the options that are kept");
    mount.super_options.split(',').find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
}

/// Whether an option without a value, such as `ro`, is among the super options.
fn flag(mount: &Mount, name: &str) -> bool {
    debug_assert!(mounts::keeps(name), "{name} is not among the options that are kept");
    mount.super_options.split(',').any(|option| option == name)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::path::HostPath;
    use crate::snapshot::DeviceNumber;

    /// A mount of a file system on 8:1 with these super options.
    pub(super) fn mount(fstype: &str, super_options: &str) -> Mount {
        Mount {
            id: 1,
            parent: 0,
            device: DeviceNumber::new(8, 1),
            root: HostPath::root(),
            mount_point: "/data".into(),
            fstype: fstype.to_owned(),
            source: "/dev/sda1".into(),
            super_options: super_options.to_owned(),
        }
    }

    #[test]
    fn servers_programs_and_automounts_are_not_local() {
        for fstype in ["nfs4", "cifs", "fuse.sshfs", "fuseblk", "autofs"] {
            assert!(!is_local(fstype), "{fstype}");
        }
        for fstype in ["ext4", "btrfs", "zfs", "tmpfs", "overlay"] {
            assert!(is_local(fstype), "{fstype}");
        }
    }

    #[test]
    fn an_unknown_file_system_is_unknown() {
        let legs = dissect(&mount("newfs", "rw"), &FilesystemFacts::default());
        assert!(matches!(legs[..], [Leg::Unknown { reason: Reason::UnknownFilesystem, .. }]));
    }

    #[test]
    fn every_name_is_listed_once() {
        let mut seen = std::collections::BTreeSet::new();
        for name in FILESYSTEMS.iter().flat_map(|known| known.names) {
            assert!(seen.insert(name), "{name} twice");
        }
    }
}
