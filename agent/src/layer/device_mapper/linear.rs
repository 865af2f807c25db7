//! `linear` (`DEVICE OFFSET`) and `striped` (`COUNT CHUNK (DEVICE OFFSET)…`), which LVM mostly makes, and other ways to
//! spread contents: `unstriped` (`STRIPES CHUNK STRIPE DEVICE OFFSET`), `switch` (`PATHS REGION 0 (DEVICE OFFSET)…`) and `zoned`
//! (`DEVICE…`). See the kernel's `Documentation/admin-guide/device-mapper/`.

use super::{Dissected, device_argument};
use crate::layer::Leg;
use crate::snapshot::{BlockDevice, DmTarget};

pub(super) fn linear(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let below = device_argument(target, 0)?;
    Some(Dissected { legs: vec![Leg::contents(below)], ..Dissected::default() })
}

pub(super) fn striped(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    pairs(target, 2)
}

/// As many devices with offsets as the first argument says, from the argument at `first` on.
fn pairs(target: &DmTarget, first: usize) -> Option<Dissected> {
    let count: usize = target.args.first()?.parse().ok()?;
    // Two arguments for each: a count that the line cannot hold is refused before anything is built.
    if count == 0 || count > target.args.len() / 2 {
        return None;
    }
    let legs = (0..count)
        .map(|pair| device_argument(target, first + 2 * pair).map(Leg::contents))
        .collect::<Option<Vec<_>>>()?;
    Some(Dissected { legs, ..Dissected::default() })
}

pub(super) fn unstriped(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let below = device_argument(target, 3)?;
    Some(Dissected { legs: vec![Leg::contents(below)], ..Dissected::default() })
}

pub(super) fn switch(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    pairs(target, 3)
}

pub(super) fn zoned(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let legs = (0..target.args.len())
        .map(|at| device_argument(target, at).map(Leg::contents))
        .collect::<Option<Vec<_>>>()?;
    (!legs.is_empty()).then(|| Dissected { legs, ..Dissected::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm_table::parse_target;
    use crate::snapshot::DeviceNumber;

    #[test]
    fn every_stripe_is_a_leg() {
        let target = parse_target(b"0 8 striped 2 128 8:1 0 254:7 384").unwrap();
        let legs = striped(&target, &BlockDevice::default()).unwrap().legs;
        assert_eq!(
            legs,
            [Leg::contents(DeviceNumber::new(8, 1)), Leg::contents(DeviceNumber::new(254, 7))]
        );
    }

    #[test]
    fn other_ways_to_spread_name_their_devices() {
        let contents = |minors: &[u32]| {
            Some(minors.iter().map(|minor| Leg::contents(DeviceNumber::new(8, *minor))).collect())
        };
        let legs = |dissect: fn(&DmTarget, &BlockDevice) -> Option<Dissected>, line: &str| {
            let target = parse_target(line.as_bytes()).unwrap();
            dissect(&target, &BlockDevice::default()).map(|found| found.legs)
        };
        assert_eq!(legs(unstriped, "0 8 unstriped 4 128 0 8:1 0"), contents(&[1]));
        assert_eq!(legs(switch, "0 8 switch 2 64 0 8:1 0 8:2 0"), contents(&[1, 2]));
        assert_eq!(legs(zoned, "0 8 zoned 8:1 8:2"), contents(&[1, 2]));
        assert_eq!(legs(zoned, "0 8 zoned 8:1 x"), None);
        assert_eq!(legs(zoned, "0 8 zoned"), None);
    }

    #[test]
    fn a_count_that_lies_is_refused() {
        for line in
            ["0 8 striped 3 128 8:1 0 8:2 0", "0 8 striped 0 128", "0 8 striped 99999999999 1"]
        {
            let target = parse_target(line.as_bytes()).unwrap();
            assert_eq!(striped(&target, &BlockDevice::default()), None, "{line}");
        }
    }
}
