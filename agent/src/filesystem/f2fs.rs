//! f2fs: up to eight devices, of which mountinfo names the first and the superblock all.

use atrest_proto::model::Reason;

use crate::layer::Leg;
use crate::snapshot::{FilesystemFacts, Mount, Observed};

pub(super) const NAMES: &[&str] = &["f2fs"];

pub(super) fn dissect(mount: &Mount, facts: &FilesystemFacts) -> Vec<Leg> {
    let mut legs = vec![Leg::contents(mount.device)];
    let unknown = |reason, why: &str| Leg::Unknown {
        reason,
        detail: format!("{}: whether this f2fs has further devices: {why}", mount.mount_point),
    };
    match facts.f2fs.get(&mount.device) {
        Some(Observed::Known(further)) => legs.extend(further.iter().copied().map(Leg::contents)),
        Some(Observed::Unreadable(trouble)) => legs.push(unknown(trouble.reason, &trouble.detail)),
        Some(Observed::Absent) | None => {
            legs.push(unknown(Reason::Unreadable, "its superblock was not looked at"));
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
    fn further_devices_are_legs_and_not_knowing_them_is_unknown() {
        let mount = mount("f2fs", "rw");
        let mut facts = FilesystemFacts::default();
        assert!(matches!(dissect(&mount, &facts)[..], [Leg::Device { .. }, Leg::Unknown { .. }]));
        let further = DeviceNumber::new(8, 32);
        facts.f2fs.insert(mount.device, Observed::Known(vec![further]));
        assert_eq!(dissect(&mount, &facts), [Leg::contents(mount.device), Leg::contents(further)]);
    }
}
