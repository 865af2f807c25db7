//! zram: compressed memory, unless pages are written back to a device.
//!
//! See the kernel's `Documentation/admin-guide/blockdev/zram.rst`, "Optional Feature: writeback".

use super::disk::is_numbered;
use super::{Anatomy, Leg, Role};
use crate::snapshot::BlockDevice;

pub(super) fn dissect(device: &BlockDevice) -> Option<Anatomy> {
    if !is_numbered(&device.name, "zram") {
        return None;
    }
    let leg = match &device.zram_backing {
        Some(path) if !path.as_bytes().is_empty() => {
            Leg::Node { path: path.clone(), role: Role::Contents }
        }
        // Without the attribute the kernel was built without write-back.
        Some(_) | None => Leg::Memory,
    };
    Some(Anatomy::new("zram", vec![leg]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_unless_written_back() {
        let mut zram = BlockDevice { name: "zram0".to_owned(), ..BlockDevice::default() };
        assert_eq!(dissect(&zram).unwrap().legs, [Leg::Memory]);
        zram.zram_backing = Some("".into());
        assert_eq!(dissect(&zram).unwrap().legs, [Leg::Memory]);
        zram.zram_backing = Some("/dev/sdb".into());
        assert_eq!(
            dissect(&zram).unwrap().legs,
            [Leg::Node { path: "/dev/sdb".into(), role: Role::Contents }]
        );
    }
}
