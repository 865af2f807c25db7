//! Block devices whose blocks another machine or program stores: nbd, rbd.
//!
//! What lies there is that one's to say. dm-crypt on top of such a device encrypts before anything leaves this host.

use atrest_proto::model::Reason;

use super::disk::is_numbered;
use super::{Anatomy, Leg};
use crate::snapshot::BlockDevice;

/// By the names that the kernel gives: `drivers/block/nbd.c`, `drivers/block/rbd.c`.
const KINDS: &[(&str, &str)] =
    &[("nbd", "the server of a network block device"), ("rbd", "a Ceph cluster")];

pub(super) fn dissect(device: &BlockDevice) -> Option<Anatomy> {
    let (kind, who) = KINDS.iter().find(|(kind, _)| is_numbered(&device.name, kind))?;
    let detail = format!("{}: what it holds rests with {who}", device.node());
    Some(Anatomy::new(*kind, vec![Leg::Unknown { reason: Reason::RemoteDevice, detail }]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_holds_the_blocks() {
        for name in ["nbd0", "rbd12"] {
            let device = BlockDevice { name: name.to_owned(), ..BlockDevice::default() };
            assert!(matches!(
                dissect(&device).unwrap().legs[..],
                [Leg::Unknown { reason: Reason::RemoteDevice, .. }]
            ));
        }
        let disk = BlockDevice { name: "nbda".to_owned(), ..BlockDevice::default() };
        assert_eq!(dissect(&disk), None);
    }
}
