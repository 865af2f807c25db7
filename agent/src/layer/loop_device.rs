//! A loop device: a file, wherever that lies.

use super::{Anatomy, Leg};
use crate::snapshot::BlockDevice;

pub(super) fn dissect(device: &BlockDevice) -> Option<Anatomy> {
    let looped = device.looped.clone()?;
    let mut anatomy = Anatomy::new("loop", vec![Leg::LoopFile(looped.clone())]);
    anatomy.detail.insert("backing_file".to_owned(), looped.backing_file.to_string());
    if looped.deleted {
        anatomy.detail.insert("deleted".to_owned(), "yes".to_owned());
    }
    Some(anatomy)
}
