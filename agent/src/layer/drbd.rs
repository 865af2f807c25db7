//! DRBD: a device of this host, mirrored to the same device of another host.
//!
//! The backing device is a slave of the DRBD device (`link_backing_dev` in `drivers/block/drbd/drbd_nl.c`). What is written
//! goes to the peer as it is, so that its copy is a leg of its own, which only an agent on that host can see.

use atrest_proto::model::Reason;

use super::disk::is_numbered;
use super::{Anatomy, Leg};
use crate::snapshot::BlockDevice;

pub(super) fn dissect(device: &BlockDevice) -> Option<Anatomy> {
    if !is_numbered(&device.name, "drbd") || !device.is_virtual {
        return None;
    }
    let mut legs: Vec<Leg> = device.slaves.iter().copied().map(Leg::contents).collect();
    let detail = format!("{}: the copy on its peer", device.node());
    legs.push(Leg::Unknown { reason: Reason::RemoteDevice, detail });
    Some(Anatomy::new("drbd", legs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::DeviceNumber;

    #[test]
    fn the_backing_device_and_the_peer_are_legs() {
        let device = BlockDevice {
            name: "drbd1".to_owned(),
            is_virtual: true,
            slaves: vec![DeviceNumber::new(8, 1)],
            ..BlockDevice::default()
        };
        let legs = dissect(&device).unwrap().legs;
        assert_eq!(legs[0], Leg::contents(DeviceNumber::new(8, 1)));
        assert!(matches!(legs[1], Leg::Unknown { reason: Reason::RemoteDevice, .. }));
    }
}
