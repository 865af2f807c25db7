//! A partition: a part of its disk.

use super::{Anatomy, Leg};
use crate::snapshot::BlockDevice;

pub(super) fn dissect(device: &BlockDevice) -> Option<Anatomy> {
    device.partition_of.map(|disk| Anatomy::new("partition", vec![Leg::contents(disk)]))
}
