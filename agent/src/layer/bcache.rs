//! bcache: a slow device behind a fast one. The cache holds contents, also those that were written through.
//!
//! See the kernel's `Documentation/admin-guide/bcache.rst`. Both devices are slaves of the bcache device
//! (`bcache_device_link` and `bch_cached_dev_run` in `drivers/md/bcache/super.c`).

use atrest_proto::model::Reason;

use super::disk::is_numbered;
use super::{Anatomy, Leg, Role};
use crate::snapshot::BlockDevice;

pub(super) fn dissect(device: &BlockDevice) -> Option<Anatomy> {
    if !is_numbered(&device.name, "bcache") || !device.is_virtual {
        return None;
    }
    let role = |slave| if device.caches.contains(slave) { Role::Cache } else { Role::Contents };
    let mut legs: Vec<Leg> = device
        .slaves
        .iter()
        .map(|slave| Leg::Device { device: *slave, role: role(slave) })
        .collect();
    for cache in device.caches.iter().filter(|cache| !device.slaves.contains(cache)) {
        legs.push(Leg::Device { device: *cache, role: Role::Cache });
    }
    if legs.is_empty() {
        let detail = format!("{}: neither backing device nor cache is named", device.node());
        legs.push(Leg::Unknown { reason: Reason::Unreadable, detail });
    }
    Some(Anatomy::new("bcache", legs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::DeviceNumber;

    const BACKING: DeviceNumber = DeviceNumber::new(8, 0);
    const CACHE: DeviceNumber = DeviceNumber::new(8, 16);

    fn bcache(slaves: &[DeviceNumber], caches: &[DeviceNumber]) -> BlockDevice {
        BlockDevice {
            name: "bcache0".to_owned(),
            is_virtual: true,
            slaves: slaves.to_vec(),
            caches: caches.to_vec(),
            ..BlockDevice::default()
        }
    }

    #[test]
    fn backing_device_and_cache_are_legs() {
        let legs = dissect(&bcache(&[BACKING, CACHE], &[CACHE])).unwrap().legs;
        assert_eq!(
            legs,
            [Leg::contents(BACKING), Leg::Device { device: CACHE, role: Role::Cache }]
        );
        assert_eq!(dissect(&bcache(&[BACKING], &[CACHE])).unwrap().legs, legs);
    }

    #[test]
    fn a_slave_whose_part_is_not_known_counts() {
        let legs = dissect(&bcache(&[BACKING, CACHE], &[])).unwrap().legs;
        assert_eq!(legs, [Leg::contents(BACKING), Leg::contents(CACHE)]);
    }

    #[test]
    fn without_devices_it_is_unknown() {
        assert!(matches!(dissect(&bcache(&[], &[])).unwrap().legs[..], [Leg::Unknown { .. }]));
    }
}
