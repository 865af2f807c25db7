//! Digests that agents and server compute alike.

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::v1;

/// SHA-256 over the wire form of a posture without its time: equal postures have equal digests, whenever they were
/// observed.
///
/// The wire form is deterministic: maps are ordered, and lists are sorted by who builds them.
pub fn posture(posture: &v1::Posture) -> [u8; 32] {
    encoded(&mut posture.clone()).0
}

/// The same, with the wire form itself. The posture is as before afterwards.
pub fn encoded(posture: &mut v1::Posture) -> ([u8; 32], Vec<u8>) {
    let observed_at = posture.observed_at.take();
    let mut bytes = posture.encode_to_vec();
    let digest = Sha256::digest(&bytes).into();
    // Fields may come in any order: one more at the end is the whole posture again.
    let time = v1::Posture { observed_at, ..v1::Posture::default() };
    bytes.extend(time.encode_to_vec());
    posture.observed_at = observed_at;
    (digest, bytes)
}

/// The name under which agents share out among them who asks for the list of a search cluster's nodes.
pub fn cluster_nodes(cluster_uuid: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in ["atrest cluster nodes", cluster_uuid] {
        hash.update(part);
        // No two lists of parts are one text.
        hash.update([0]);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_the_posture_and_its_time_is_in_no_digest() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 5 });
        let host = v1::Host { hostname: "es-1".to_owned(), ..v1::Host::default() };
        let said = v1::Posture { host: Some(host), catalogue_version: 3, ..v1::Posture::default() };
        let mut digests = Vec::new();
        for observed_at in [None, at(7), at(8)] {
            let said = v1::Posture { observed_at, ..said.clone() };
            let mut encoded_from = said.clone();
            let (digest, bytes) = encoded(&mut encoded_from);
            assert_eq!(encoded_from, said, "as before");
            assert_eq!(v1::Posture::decode(bytes.as_slice()).unwrap(), said);
            assert_eq!(digest, posture(&said));
            digests.push(digest);
        }
        digests.dedup();
        assert_eq!(digests.len(), 1);
        let other = v1::Posture { catalogue_version: 4, ..said };
        assert_ne!(posture(&other), digests[0]);
    }
}
