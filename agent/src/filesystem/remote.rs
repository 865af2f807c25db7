//! File systems whose contents rest where this host cannot look.

use atrest_proto::model::Reason;

use crate::layer::Leg;
use crate::snapshot::{FilesystemFacts, Mount};

/// A server, or the hypervisor, stores the files.
pub(super) const REMOTE: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "afs",
    "9p",
    "virtiofs",
    "glusterfs",
    "lustre",
    "gfs2",
    "ocfs2",
    "beegfs",
    "gpfs",
    "orangefs",
    "coda",
    "vboxsf",
    "vmhgfs",
    "prl_fs",
];
/// A program in user space stores the files. Its name, the subtype, may be any.
pub(super) const FUSE: &[&str] = &["fuse", "fuse.", "fuseblk", "fuseblk."];

pub(super) fn remote(mount: &Mount, _facts: &FilesystemFacts) -> Vec<Leg> {
    vec![Leg::Unknown {
        reason: Reason::RemoteFilesystem,
        detail: format!("{}: {} from {}", mount.mount_point, mount.fstype, mount.source),
    }]
}

pub(super) fn fuse(mount: &Mount, _facts: &FilesystemFacts) -> Vec<Leg> {
    vec![Leg::Unknown {
        reason: Reason::FuseFilesystem,
        detail: format!("{}: {} from {}", mount.mount_point, mount.fstype, mount.source),
    }]
}
