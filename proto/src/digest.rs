//! The digest of a posture: equal postures have equal digests, whenever they were observed.

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::v1;

/// SHA-256 over the wire form of a posture without its time.
///
/// The wire form is deterministic: maps are ordered, and lists are sorted by who builds them.
pub fn posture(posture: &v1::Posture) -> [u8; 32] {
    let timeless = v1::Posture { observed_at: None, ..posture.clone() };
    Sha256::digest(timeless.encode_to_vec()).into()
}
