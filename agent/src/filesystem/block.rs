//! File systems on one block device, with a journal or log that may lie on another.

use atrest_proto::model::Reason;

use super::option;
use crate::layer::{Leg, Role};
use crate::mounts::unescape;
use crate::path::HostPath;
use crate::snapshot::{FilesystemFacts, Journal, Mount, Observed};

pub(super) const EXT_WITH_JOURNAL: &[&str] = &["ext3", "ext4"];
pub(super) const XFS: &[&str] = &["xfs"];
/// Those that know no second device.
pub(super) const SINGLE_DEVICE: &[&str] = &[
    "ext2", "vfat", "msdos", "exfat", "iso9660", "udf", "squashfs", "erofs", "ntfs", "ntfs3",
    "minix", "hfs", "hfsplus", "nilfs2", "cramfs", "romfs", "zonefs", "affs", "befs", "bfs", "efs",
    "omfs", "qnx4", "qnx6", "sysv", "ufs", "gfs2", "ocfs2",
];

/// The number in mountinfo is the device's own: it is not taken from the source's name.
pub(super) fn single(mount: &Mount, _facts: &FilesystemFacts) -> Vec<Leg> {
    vec![Leg::contents(mount.device)]
}

/// The journal of ext3 and ext4 holds metadata, and contents with `data=journal`. Only the superblock says
/// where it is.
pub(super) fn ext(mount: &Mount, facts: &FilesystemFacts) -> Vec<Leg> {
    let mut legs = vec![Leg::contents(mount.device)];
    match facts.journals.get(&mount.device) {
        Some(Observed::Known(Journal::External(Some(device)))) => {
            legs.push(Leg::Device { device: *device, role: Role::Journal });
        }
        Some(Observed::Known(Journal::External(None))) => legs.push(Leg::Unknown {
            reason: Reason::Unreadable,
            detail: format!("{}: its journal is on a device that is not named", mount.mount_point),
        }),
        // A live host always has the kernel's list of journals. A recording may lack it, and then nothing says that the
        // journal is elsewhere, which is rare.
        Some(Observed::Known(Journal::Inside) | Observed::Absent | Observed::Unreadable(_))
        | None => {}
    }
    legs
}

/// xfs names its log and real-time devices among the mount options.
pub(super) fn xfs(mount: &Mount, _facts: &FilesystemFacts) -> Vec<Leg> {
    let mut legs = vec![Leg::contents(mount.device)];
    for (name, role) in [("logdev", Role::Journal), ("rtdev", Role::Contents)] {
        if let Some(device) = option(mount, name) {
            legs.push(Leg::Node { path: HostPath::new(unescape(device.as_bytes())), role });
        }
    }
    legs
}

#[cfg(test)]
mod tests {
    use super::super::tests::mount;
    use super::*;
    use crate::snapshot::DeviceNumber;

    #[test]
    fn an_external_journal_is_a_leg() {
        let mut facts = FilesystemFacts::default();
        let journal = DeviceNumber::new(8, 32);
        facts
            .journals
            .insert(DeviceNumber::new(8, 1), Observed::Known(Journal::External(Some(journal))));
        let legs = ext(&mount("ext4", "rw"), &facts);
        assert_eq!(legs[1], Leg::Device { device: journal, role: Role::Journal });
    }

    #[test]
    fn an_external_log_of_xfs_is_a_leg() {
        let legs =
            xfs(&mount("xfs", "rw,attr2,logdev=/dev/sdc1,noquota"), &FilesystemFacts::default());
        assert_eq!(legs[1], Leg::Node { path: "/dev/sdc1".into(), role: Role::Journal });
    }
}
