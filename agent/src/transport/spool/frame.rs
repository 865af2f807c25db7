//! One report as a file: a header that can be checked without reading the rest, and a checksum over the rest.
//!
//! ```text
//! "ATRSPL01" | length of the payload, u64 big-endian | digest of the posture | SHA-256 of all that and the payload
//! ```
//! A SHA-256 serves as the checksum because the agent has one anyway.

use sha2::{Digest as _, Sha256};

use super::super::outbox::PostureDigest;

const MAGIC: [u8; 8] = *b"ATRSPL01";
/// Magic, length, digest, checksum.
pub(super) const HEADER: usize = 8 + 8 + 32 + 32;

/// What the first bytes of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(super) payload: u64,
    pub(crate) digest: PostureDigest,
    checksum: [u8; 32],
}

impl Header {
    /// `None` when this is not the beginning of a report.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let (checksum, _) = rest.split_first_chunk::<32>()?;
        (*magic == MAGIC).then_some(Self {
            payload: u64::from_be_bytes(*length),
            digest: *digest,
            checksum: *checksum,
        })
    }

    /// The size of the whole file.
    pub(super) fn size(&self) -> u64 {
        self.payload.saturating_add(u64::try_from(HEADER).unwrap_or(u64::MAX))
    }
}

/// The file of a report.
pub(crate) fn encode(digest: &PostureDigest, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&u64::try_from(payload.len()).unwrap_or(u64::MAX).to_be_bytes());
    bytes.extend_from_slice(digest);
    bytes.extend_from_slice(&checksum(&bytes, payload));
    bytes.extend_from_slice(payload);
    bytes
}

/// The payload of a file; `None` when it is not whole.
pub(crate) fn decode(bytes: &[u8]) -> Option<&[u8]> {
    let header = Header::parse(bytes)?;
    let (head, payload) = bytes.split_at_checked(HEADER)?;
    let covered = head.get(..HEADER - 32)?;
    let whole = u64::try_from(payload.len()).ok()? == header.payload
        && checksum(covered, payload) == header.checksum;
    whole.then_some(payload)
}

fn checksum(head: &[u8], payload: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(head).chain_update(payload).finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_report_round_trips(digest: [u8; 32], payload: Vec<u8>) {
            let bytes = encode(&digest, &payload);
            prop_assert_eq!(decode(&bytes), Some(&payload[..]));
            let header = Header::parse(&bytes).unwrap();
            prop_assert_eq!(header.digest, digest);
            prop_assert_eq!(header.size(), bytes.len() as u64);
        }

        #[test]
        fn no_torn_or_flipped_file_passes(payload: Vec<u8>, at: prop::sample::Index, bit in 0_u32..8) {
            let bytes = encode(&[7; 32], &payload);
            prop_assert_eq!(decode(&bytes[..at.index(bytes.len())]), None);
            let mut flipped = bytes.clone();
            flipped[at.index(bytes.len())] ^= 1_u8 << bit;
            prop_assert_eq!(decode(&flipped), None);
        }

        #[test]
        fn reading_garbage_never_panics(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&bytes), None);
        }
    }
}
