//! `thin` (`POOL ID [EXTERNAL_ORIGIN]`) and `thin-pool` (`METADATA DATA BLOCK_SIZE …`).
//!
//! The metadata device holds block mappings and no contents. See the kernel's `thin-provisioning.rst`.

use super::{Dissected, device_argument};
use crate::layer::Leg;
use crate::snapshot::{BlockDevice, DmTarget};

pub(super) fn thin(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let mut legs = vec![Leg::contents(device_argument(target, 0)?)];
    if target.args.len() > 2 {
        // Blocks that were not written yet are read from there.
        legs.push(Leg::contents(device_argument(target, 2)?));
    }
    Some(Dissected { legs, ..Dissected::default() })
}

pub(super) fn pool(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let metadata = device_argument(target, 0)?;
    let data = device_argument(target, 1)?;
    let shown = if metadata == data { Vec::new() } else { vec![metadata] };
    Some(Dissected { legs: vec![Leg::contents(data)], shown, ..Dissected::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm_table::parse_target;
    use crate::snapshot::DeviceNumber;

    #[test]
    fn metadata_is_shown_and_data_counts() {
        let target = parse_target(b"0 8 thin-pool 254:1 254:2 128 0 1 skip_block_zeroing").unwrap();
        let found = pool(&target, &BlockDevice::default()).unwrap();
        assert_eq!(found.legs, [Leg::contents(DeviceNumber::new(254, 2))]);
        assert_eq!(found.shown, [DeviceNumber::new(254, 1)]);
    }

    #[test]
    fn an_external_origin_is_a_leg() {
        let target = parse_target(b"0 8 thin 254:3 1 8:7").unwrap();
        assert_eq!(thin(&target, &BlockDevice::default()).unwrap().legs.len(), 2);
        let target = parse_target(b"0 8 thin 254:3 1").unwrap();
        assert_eq!(thin(&target, &BlockDevice::default()).unwrap().legs.len(), 1);
    }
}
