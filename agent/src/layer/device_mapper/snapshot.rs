//! `snapshot` and `snapshot-merge` (`ORIGIN COW …`), `snapshot-origin` (`ORIGIN`).
//!
//! The copy-on-write store holds contents: what was written to the snapshot, and what the origin held before. So it is a
//! leg of both; [`stores`] finds it for the origin. See the kernel's `snapshot.rst`.

use std::collections::BTreeMap;

use super::{Dissected, device_argument};
use crate::layer::{Leg, Role};
use crate::snapshot::{BlockDevice, DeviceNumber, DmTarget};

pub(super) fn snapshot(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let origin = device_argument(target, 0)?;
    let store = device_argument(target, 1)?;
    let legs = vec![Leg::contents(origin), Leg::Device { device: store, role: Role::CopyOnWrite }];
    Some(Dissected { legs, ..Dissected::default() })
}

pub(super) fn origin(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let below = device_argument(target, 0)?;
    Some(Dissected { legs: vec![Leg::contents(below)], ..Dissected::default() })
}

/// The copy-on-write stores of every origin: by the device that both the origin and its snapshots stand on.
pub fn stores(
    devices: &BTreeMap<DeviceNumber, BlockDevice>,
) -> BTreeMap<DeviceNumber, Vec<DeviceNumber>> {
    let mut stores: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for target in devices.values().filter_map(table).flatten() {
        if matches!(target.kind.as_str(), "snapshot" | "snapshot-merge")
            && let Some(origin) = device_argument(target, 0)
            && let Some(store) = device_argument(target, 1)
        {
            stores.entry(origin).or_default().push(store);
        }
    }
    stores
}

/// Devices whose table could not be read, by the devices that they stand on: each may be a snapshot of an origin there.
pub fn doubtful(
    devices: &BTreeMap<DeviceNumber, BlockDevice>,
) -> BTreeMap<DeviceNumber, Vec<DeviceNumber>> {
    let mut doubtful: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let unread = |device: &&BlockDevice| {
        device.dm.is_some()
            && table(device).is_none_or(|table| {
                table.is_empty()
                    || table.iter().any(|target| {
                        target.kind.starts_with("snapshot")
                            && snapshot(target, device).is_none()
                            && target.kind != "snapshot-origin"
                    })
            })
    };
    for device in devices.values().filter(unread) {
        for below in &device.slaves {
            doubtful.entry(*below).or_default().push(device.number);
        }
    }
    doubtful
}

/// The devices below a snapshot origin.
pub fn origins(device: &BlockDevice) -> impl Iterator<Item = DeviceNumber> {
    let targets = table(device).into_iter().flatten();
    targets
        .filter(|target| target.kind == "snapshot-origin")
        .filter_map(|target| device_argument(target, 0))
}

fn table(device: &BlockDevice) -> Option<&Vec<DmTarget>> {
    device.dm.as_ref()?.table.known()
}

#[cfg(test)]
mod tests {
    use super::super::tests::mapped;
    use super::*;

    #[test]
    fn what_may_be_a_snapshot_is_found() {
        let unread = |line: &str| {
            let mut device = mapped(&[line], &[1, 2]);
            device.number = DeviceNumber::new(254, 5);
            BTreeMap::from([(device.number, device)])
        };
        assert_eq!(doubtful(&unread("0 8 snapshot 8:1 8:2 P 8")), BTreeMap::new());
        assert_eq!(doubtful(&unread("0 8 snapshot 8:1")).len(), 2);
        let mut devices = unread("0 8 snapshot 8:1 8:2 P 8");
        for device in devices.values_mut() {
            if let Some(dm) = &mut device.dm {
                dm.table = crate::snapshot::Observed::Absent;
            }
        }
        assert!(doubtful(&devices).contains_key(&DeviceNumber::new(8, 1)));
    }

    #[test]
    fn the_store_is_a_leg_of_the_snapshot_and_is_found_for_the_origin() {
        let mut taken = mapped(&["0 8 snapshot 8:1 8:2 P 8"], &[1, 2]);
        taken.number = DeviceNumber::new(254, 5);
        let store = DeviceNumber::new(8, 2);
        let anatomy = super::super::dissect(&taken).unwrap();
        assert!(anatomy.legs.contains(&Leg::Device { device: store, role: Role::CopyOnWrite }));
        let devices = BTreeMap::from([(taken.number, taken)]);
        assert_eq!(stores(&devices), BTreeMap::from([(DeviceNumber::new(8, 1), vec![store])]));
        let origin = mapped(&["0 8 snapshot-origin 8:1"], &[1]);
        assert_eq!(origins(&origin).collect::<Vec<_>>(), [DeviceNumber::new(8, 1)]);
    }
}
