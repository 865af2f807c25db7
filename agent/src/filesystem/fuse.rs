//! FUSE: a program in user space decides what is written, and where. The kernel does not see it encrypt.

use atrest_proto::model::Reason;

use crate::layer::Leg;
use crate::snapshot::{FilesystemFacts, Mount};

/// Programs that encrypt by their own account. The subtype is what the program calls itself, so that it is a claim.
pub(super) const CLAIM_TO_ENCRYPT: &[&str] =
    &["fuse.gocryptfs", "fuse.encfs", "fuse.cryfs", "fuse.securefs", "fuse.cppcryptfs"];
/// Any other program.
pub(super) const NAMES: &[&str] = &["fuse", "fuse.", "fuseblk", "fuseblk."];

pub(super) fn claim(mount: &Mount, _facts: &FilesystemFacts) -> Vec<Leg> {
    let program = mount.fstype.strip_prefix("fuse.").unwrap_or(&mount.fstype);
    let who = format!("{program}, a program in user space, over {}", mount.source);
    vec![Leg::Claimed { reason: Reason::FuseFilesystem, who }]
}

pub(super) fn dissect(mount: &Mount, _facts: &FilesystemFacts) -> Vec<Leg> {
    vec![Leg::Unknown {
        reason: Reason::FuseFilesystem,
        detail: format!("{}: {} from {}", mount.mount_point, mount.fstype, mount.source),
    }]
}

#[cfg(test)]
mod tests {
    use super::super::tests::mount;
    use super::*;

    #[test]
    fn a_program_that_encrypts_claims_it_and_another_is_unknown() {
        let legs =
            |fstype| super::super::dissect(&mount(fstype, "rw"), &FilesystemFacts::default());
        let claimed = legs("fuse.gocryptfs");
        assert!(matches!(&claimed[..], [Leg::Claimed { who, .. }] if who.starts_with("gocryptfs")));
        for fstype in ["fuse.sshfs", "fuse", "fuseblk", "fuse.gocryptfs2"] {
            assert!(matches!(legs(fstype)[..], [Leg::Unknown { .. }]), "{fstype}");
        }
    }
}
