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
    "beegfs",
    "gpfs",
    "orangefs",
    "coda",
    "vboxsf",
    "vmhgfs",
    "prl_fs",
];
pub(super) fn remote(mount: &Mount, _facts: &FilesystemFacts) -> Vec<Leg> {
    vec![Leg::Unknown {
        reason: Reason::RemoteFilesystem,
        detail: format!("{}: {} from {}", mount.mount_point, mount.fstype, mount.source),
    }]
}
