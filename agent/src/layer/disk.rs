//! A disk: where a stack ends, in plaintext unless a layer above encrypted.
//!
//! A drive may encrypt by itself; that is a claim, not something this host can see working.

use atrest_proto::model::Reason;

use super::{Anatomy, Leg};
use crate::snapshot::BlockDevice;

/// Disks that sysfs files under `/sys/devices/virtual` although hardware is behind them: the heads of NVMe
/// multipath (`nvme-subsystem`).
const VIRTUAL_DISKS: &[&str] = &["nvme"];
/// Memory that looks like a disk, never written out (`brd`).
const RAM_DISK: &str = "ram";

pub(super) fn dissect(device: &BlockDevice) -> Option<Anatomy> {
    if is_numbered(&device.name, RAM_DISK) && device.is_virtual {
        return Some(Anatomy::new("ramdisk", vec![Leg::Memory]));
    }
    let hardware =
        !device.is_virtual || VIRTUAL_DISKS.iter().any(|prefix| device.name.starts_with(prefix));
    // A disk stands on nothing. What does is a layer of a kind that is not known here.
    let is_disk = hardware && device.slaves.is_empty() && device.dm.is_none();
    is_disk.then(|| {
        let leg = match &device.claimed_by {
            Some(who) => Leg::Claimed { reason: Reason::ProviderClaim, who: who.clone() },
            None => Leg::Plain(Reason::PlainDevice),
        };
        Anatomy::new("disk", vec![leg])
    })
}

/// Whether `name` is `prefix` and a number.
pub(super) fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::DeviceNumber;

    fn device(name: &str, is_virtual: bool) -> BlockDevice {
        BlockDevice { name: name.to_owned(), is_virtual, ..BlockDevice::default() }
    }

    #[test]
    fn a_disk_is_plain_and_a_ramdisk_is_memory() {
        let disk = dissect(&device("sda", false)).unwrap();
        assert_eq!(disk.legs, [Leg::Plain(Reason::PlainDevice)]);
        let claimed = BlockDevice {
            claimed_by: Some("Amazon EBS, vol-1".to_owned()),
            ..device("nvme0n1", true)
        };
        let claim =
            Leg::Claimed { reason: Reason::ProviderClaim, who: "Amazon EBS, vol-1".to_owned() };
        assert_eq!(dissect(&claimed).unwrap().legs, [claim]);
        assert_eq!(dissect(&device("ram0", true)).unwrap().legs, [Leg::Memory]);
        assert_eq!(dissect(&device("nvme0n1", true)).unwrap().kind, "disk");
    }

    #[test]
    fn a_virtual_device_of_unknown_kind_is_not_a_disk() {
        assert_eq!(dissect(&device("nbd0", true)), None);
        assert_eq!(dissect(&device("drbd0", true)), None);
    }

    #[test]
    fn what_stands_on_something_is_not_a_disk() {
        let mut layered = device("xyz0", false);
        layered.slaves.push(DeviceNumber::new(8, 0));
        assert_eq!(dissect(&layered), None);
    }
}
