//! btrfs: one file system on any number of devices, of which mountinfo names one.

use atrest_proto::model::Reason;

use crate::layer::Leg;
use crate::snapshot::{FilesystemFacts, Mount};

pub(super) const NAMES: &[&str] = &["btrfs"];

/// All devices, from `/sys/fs/btrfs/FSID/devices`. The mount's own number is not a device's, so the source tells
/// which file system it is.
pub(super) fn dissect(mount: &Mount, facts: &FilesystemFacts) -> Vec<Leg> {
    match facts.btrfs.get(&mount.device) {
        Some(devices) if !devices.is_empty() => {
            devices.iter().copied().map(Leg::contents).collect()
        }
        Some(_) | None => vec![Leg::Unknown {
            reason: Reason::Unreadable,
            detail: format!("{}: the devices of this btrfs are not known", mount.mount_point),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::mount;
    use super::*;
    use crate::snapshot::DeviceNumber;

    #[test]
    fn every_device_is_a_leg_and_none_known_is_unknown() {
        let mount = mount("btrfs", "rw");
        let mut facts = FilesystemFacts::default();
        assert!(matches!(dissect(&mount, &facts)[..], [Leg::Unknown { .. }]));
        let devices = vec![DeviceNumber::new(254, 0), DeviceNumber::new(8, 16)];
        facts.btrfs.insert(mount.device, devices);
        assert_eq!(dissect(&mount, &facts).len(), 2);
    }
}
