//! bcachefs: one file system on any number of devices, which may encrypt by itself.
//!
//! Whether it does stands in the superblock alone, so that a device that is plain proves nothing.

use atrest_proto::model::Reason;

use crate::layer::{Leg, Role};
use crate::snapshot::{FilesystemFacts, Mount};

pub(super) const NAMES: &[&str] = &["bcachefs"];

pub(super) fn dissect(mount: &Mount, facts: &FilesystemFacts) -> Vec<Leg> {
    match facts.bcachefs.get(&mount.device) {
        Some(devices) if !devices.is_empty() => devices
            .iter()
            .map(|device| Leg::Device { device: *device, role: Role::PerhapsEncrypted })
            .collect(),
        Some(_) | None => vec![Leg::Unknown {
            reason: Reason::Unreadable,
            detail: format!("{}: the devices of this bcachefs are not known", mount.mount_point),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::mount;
    use super::*;
    use crate::snapshot::DeviceNumber;

    #[test]
    fn every_device_is_a_leg_that_proves_nothing_when_plain() {
        let mount = mount("bcachefs", "rw");
        let mut facts = FilesystemFacts::default();
        assert!(matches!(dissect(&mount, &facts)[..], [Leg::Unknown { .. }]));
        let device = DeviceNumber::new(8, 16);
        facts.bcachefs.insert(mount.device, vec![device]);
        assert_eq!(dissect(&mount, &facts), [Leg::Device { device, role: Role::PerhapsEncrypted }]);
    }
}
