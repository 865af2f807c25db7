//! `zero` and `error`: what is written is dropped or refused, so nothing rests.

use super::Dissected;
use crate::layer::Leg;
use crate::snapshot::{BlockDevice, DmTarget};

#[expect(clippy::unnecessary_wraps, reason = "the form that every target has")]
pub(super) fn dissect(_target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    Some(Dissected { legs: vec![Leg::Nothing], ..Dissected::default() })
}
