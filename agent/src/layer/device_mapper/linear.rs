//! `linear` (`DEVICE OFFSET`) and `striped` (`COUNT CHUNK (DEVICE OFFSET)…`): what LVM mostly makes.

use super::{Dissected, device_argument};
use crate::layer::Leg;
use crate::snapshot::{BlockDevice, DmTarget};

pub(super) fn linear(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let below = device_argument(target, 0)?;
    Some(Dissected { legs: vec![Leg::contents(below)], ..Dissected::default() })
}

pub(super) fn striped(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let count: usize = target.args.first()?.parse().ok()?;
    // Two arguments per stripe: a count that the line cannot hold is refused before anything is built.
    if count == 0 || count > target.args.len() / 2 {
        return None;
    }
    let legs = (0..count)
        .map(|stripe| device_argument(target, 2 + 2 * stripe).map(Leg::contents))
        .collect::<Option<Vec<_>>>()?;
    Some(Dissected { legs, ..Dissected::default() })
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
    fn a_count_that_lies_is_refused() {
        for line in
            ["0 8 striped 3 128 8:1 0 8:2 0", "0 8 striped 0 128", "0 8 striped 99999999999 1"]
        {
            let target = parse_target(line.as_bytes()).unwrap();
            assert_eq!(striped(&target, &BlockDevice::default()), None, "{line}");
        }
    }
}
