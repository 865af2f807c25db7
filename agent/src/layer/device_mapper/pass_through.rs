//! Targets that hand contents on unchanged: `delay`, `flakey`, `dust`, `ebs`, `integrity`, `verity`, `log-writes`, `vdo`.
//! None of them encrypts.

use super::{Dissected, device_argument};
use crate::layer::{Leg, Role};
use crate::snapshot::{BlockDevice, DmTarget};

/// `flakey`, `dust`, `ebs`: `DEVICE …`.
pub(super) fn first_device(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let below = device_argument(target, 0)?;
    Some(Dissected { legs: vec![Leg::contents(below)], ..Dissected::default() })
}

/// `delay`: `DEVICE OFFSET DELAY`, once for reads and, where given, for writes and flushes.
pub(super) fn delay(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    if target.args.is_empty() || !target.args.len().is_multiple_of(3) {
        return None;
    }
    let mut legs = (0..target.args.len())
        .step_by(3)
        .map(|at| device_argument(target, at).map(Leg::contents))
        .collect::<Option<Vec<_>>>()?;
    legs.dedup();
    Some(Dissected { legs, ..Dissected::default() })
}

/// `log-writes`: `DEVICE LOG`. The log keeps all that was ever written.
pub(super) fn log_writes(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let legs = vec![
        Leg::contents(device_argument(target, 0)?),
        Leg::Device { device: device_argument(target, 1)?, role: Role::Journal },
    ];
    Some(Dissected { legs, ..Dissected::default() })
}

/// `vdo`: `VERSION DEVICE …`, with the device as it was named when the table was loaded; then it is the only slave.
pub(super) fn vdo(target: &DmTarget, device: &BlockDevice) -> Option<Dissected> {
    if !target.args.first()?.starts_with('V') {
        return None;
    }
    let below = device_argument(target, 1).or(match device.slaves[..] {
        [only] => Some(only),
        _ => None,
    })?;
    Some(Dissected { legs: vec![Leg::contents(below)], ..Dissected::default() })
}

/// `integrity`: `DEVICE OFFSET TAG_SIZE MODE #OPTIONS OPTIONS…`. Its journal and, with `meta_device`, its tags may lie
/// elsewhere; in journal mode contents pass through the journal on that device.
pub(super) fn integrity(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let mut legs = vec![Leg::contents(device_argument(target, 0)?)];
    let journals = target.args.get(3).is_some_and(|mode| mode == "J");
    let mut shown = Vec::new();
    for option in target.args.iter().skip(5) {
        if let Some(meta) = option.strip_prefix("meta_device:") {
            let meta = meta.parse().ok()?;
            if journals {
                legs.push(Leg::Device { device: meta, role: Role::Journal });
            } else {
                shown.push(meta);
            }
        }
    }
    Some(Dissected { legs, shown, ..Dissected::default() })
}

/// `verity`: `VERSION DATA_DEVICE HASH_DEVICE …`. The hash device holds no contents.
pub(super) fn verity(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let data = device_argument(target, 1)?;
    let hashes = device_argument(target, 2)?;
    let shown = if hashes == data { Vec::new() } else { vec![hashes] };
    Some(Dissected { legs: vec![Leg::contents(data)], shown, ..Dissected::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm_table::parse_target;
    use crate::snapshot::DeviceNumber;

    #[test]
    fn verity_counts_its_data_and_shows_its_hashes() {
        let target = parse_target(b"0 8 verity 1 8:1 8:2 4096 4096 10 1 sha256 00 00").unwrap();
        let found = verity(&target, &BlockDevice::default()).unwrap();
        assert_eq!(found.legs, [Leg::contents(DeviceNumber::new(8, 1))]);
        assert_eq!(found.shown, [DeviceNumber::new(8, 2)]);
    }

    #[test]
    fn a_log_of_writes_holds_contents() {
        let target = parse_target(b"0 8 log-writes 8:1 8:2").unwrap();
        let legs = log_writes(&target, &BlockDevice::default()).unwrap().legs;
        let log = Leg::Device { device: DeviceNumber::new(8, 2), role: Role::Journal };
        assert_eq!(legs, [Leg::contents(DeviceNumber::new(8, 1)), log]);
    }

    #[test]
    fn vdo_goes_on_to_its_device_however_it_is_named() {
        let one = BlockDevice { slaves: vec![DeviceNumber::new(8, 1)], ..BlockDevice::default() };
        for line in ["0 8 vdo V4 8:1 262144 4096 32768 16380", "0 8 vdo V4 /dev/sda1 262144 4096"] {
            let target = parse_target(line.as_bytes()).unwrap();
            let legs = vdo(&target, &one).unwrap().legs;
            assert_eq!(legs, [Leg::contents(DeviceNumber::new(8, 1))], "{line}");
        }
        let target = parse_target(b"0 8 vdo V4 /dev/sda1 262144").unwrap();
        assert_eq!(vdo(&target, &BlockDevice::default()), None);
    }

    #[test]
    fn the_journal_of_integrity_holds_contents() {
        let target = parse_target(b"0 8 integrity 8:1 0 32 J 1 meta_device:8:2").unwrap();
        let found = integrity(&target, &BlockDevice::default()).unwrap();
        let journal = Leg::Device { device: DeviceNumber::new(8, 2), role: Role::Journal };
        assert!(found.legs.contains(&journal));
    }
}
