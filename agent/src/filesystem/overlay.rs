//! overlayfs: what is written goes to the upper directory, by way of the work directory. The lower directories are
//! never written: what lies there came another way, and is judged where that is.
//!
//! See the kernel's `Documentation/filesystems/overlayfs.rst`. The options name directories as they were called when
//! it was mounted, in the namespace that mounted it.

use atrest_proto::model::Reason;

use super::option;
use crate::layer::{Leg, Role};
use crate::path::HostPath;
use crate::snapshot::{FilesystemFacts, Mount};

pub(super) const NAMES: &[&str] = &["overlay"];

pub(super) fn dissect(mount: &Mount, _facts: &FilesystemFacts) -> Vec<Leg> {
    let mut legs = Vec::new();
    for name in ["upperdir", "workdir"] {
        // The kernel escapes commas in names as `\054`, so that splitting at commas is right.
        let Some(value) = option(mount, name) else { continue };
        let path = HostPath::new(crate::mounts::unescape(value.as_bytes()));
        legs.push(if path.is_absolute() {
            Leg::MountTimePath { path, role: Role::Contents }
        } else {
            unknown(mount, &format!("its {name} is relative"))
        });
    }
    if legs.is_empty() {
        // Read-only: what rests is in the lower directories, which other mounts account for.
        legs.push(unknown(mount, "it has no upper directory"));
    }
    legs
}

fn unknown(mount: &Mount, why: &str) -> Leg {
    let detail = format!("{}: overlay: {why}", mount.mount_point);
    Leg::Unknown { reason: Reason::UnknownFilesystem, detail }
}

#[cfg(test)]
mod tests {
    use super::super::tests::mount;
    use super::*;

    #[test]
    fn upper_and_work_are_legs() {
        let mount = mount("overlay", "rw,lowerdir=/l,upperdir=/var/u\\0541,workdir=/var/w");
        let legs = dissect(&mount, &FilesystemFacts::default());
        let path = |path: &str| Leg::MountTimePath { path: path.into(), role: Role::Contents };
        assert_eq!(legs, [path("/var/u,1"), path("/var/w")]);
    }

    #[test]
    fn without_an_upper_directory_it_is_unknown() {
        let legs = dissect(&mount("overlay", "ro,lowerdir=/a:/b"), &FilesystemFacts::default());
        assert!(matches!(legs[..], [Leg::Unknown { .. }]));
    }
}
