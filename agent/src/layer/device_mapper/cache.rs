//! `cache` (`METADATA CACHE ORIGIN …`), `writecache` (`p|s ORIGIN CACHE …`), `era` (`METADATA ORIGIN …`) and `clone`
//! (`METADATA DESTINATION SOURCE …`).
//!
//! A cache holds contents. Metadata devices hold none. See the kernel's `cache.rst`, `writecache.rst`, `era.rst` and
//! `dm-clone.rst`.

use super::{Dissected, device_argument};
use crate::layer::{Leg, Role};
use crate::snapshot::{BlockDevice, DmTarget};

pub(super) fn cache(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let metadata = device_argument(target, 0)?;
    let fast = device_argument(target, 1)?;
    let origin = device_argument(target, 2)?;
    let legs = vec![Leg::contents(origin), Leg::Device { device: fast, role: Role::Cache }];
    let shown = if metadata == fast { Vec::new() } else { vec![metadata] };
    Some(Dissected { legs, shown, ..Dissected::default() })
}

pub(super) fn writecache(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    // `p` for persistent memory, `s` for an SSD.
    if !matches!(target.args.first()?.as_str(), "p" | "s") {
        return None;
    }
    let origin = device_argument(target, 1)?;
    let fast = device_argument(target, 2)?;
    let legs = vec![Leg::contents(origin), Leg::Device { device: fast, role: Role::Cache }];
    Some(Dissected { legs, ..Dissected::default() })
}

pub(super) fn era(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let metadata = device_argument(target, 0)?;
    let origin = device_argument(target, 1)?;
    Some(Dissected {
        legs: vec![Leg::contents(origin)],
        shown: vec![metadata],
        ..Dissected::default()
    })
}

pub(super) fn clone(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let metadata = device_argument(target, 0)?;
    let legs = vec![
        Leg::contents(device_argument(target, 1)?),
        // Read from as long as not everything was copied.
        Leg::contents(device_argument(target, 2)?),
    ];
    Some(Dissected { legs, shown: vec![metadata], ..Dissected::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm_table::parse_target;
    use crate::snapshot::DeviceNumber;

    const FAST: Leg = Leg::Device { device: DeviceNumber::new(8, 2), role: Role::Cache };
    const ORIGIN: Leg = Leg::contents(DeviceNumber::new(8, 3));

    #[test]
    fn a_cache_holds_contents() {
        let target = parse_target(b"0 8 cache 8:1 8:2 8:3 128 1 writeback smq 0").unwrap();
        let found = cache(&target, &BlockDevice::default()).unwrap();
        assert_eq!(found.legs, [ORIGIN, FAST]);
        assert_eq!(found.shown, [DeviceNumber::new(8, 1)]);
        let target = parse_target(b"0 8 writecache s 8:3 8:2 4096 0").unwrap();
        assert_eq!(writecache(&target, &BlockDevice::default()).unwrap().legs, [ORIGIN, FAST]);
    }

    #[test]
    fn a_line_of_another_form_is_refused() {
        let target = parse_target(b"0 8 writecache x 8:3 8:2 4096 0").unwrap();
        assert_eq!(writecache(&target, &BlockDevice::default()), None);
        let target = parse_target(b"0 8 cache 8:1 8:2").unwrap();
        assert_eq!(cache(&target, &BlockDevice::default()), None);
    }
}
