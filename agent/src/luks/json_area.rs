//! The JSON text of a LUKS2 header, taken from its bytes after libcryptsetup has accepted them.
//!
//! `crypt_dump_json` says the same, but only since libcryptsetup 2.4, and a program that names it does not even start
//! with the libraries of older systems. Pure: bytes in, a part of them out.
//! Format: `docs/on-disk-format-luks2.pdf` of cryptsetup.

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::layout::{self, LUKS2_BINARY, Start};

/// Why there is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    #[error("its copy is not whole")]
    Incomplete,
    #[error("its checksum is not SHA-256")]
    Algorithm,
    #[error("its checksum does not match")]
    Checksum,
    #[error("the other copy is newer")]
    Outdated,
}

/// Where the fields of the binary part lie, as offset and length.
const SEQUENCE: (usize, usize) = (16, 8);
const ALGORITHM: (usize, usize) = (72, 32);
const CHECKSUM: (usize, usize) = (448, 64);

/// The text of the first header in these bytes, which may hold the second header behind it.
///
/// libcryptsetup writes what it took from the second header into the first. Where that failed, the first is not
/// what it went by, and this is an error.
pub fn text(bytes: &[u8]) -> Result<&[u8], Error> {
    let Start::Luks2(Some(size)) = layout::start(bytes) else { return Err(Error::Incomplete) };
    let size = usize::try_from(size).map_err(|_| Error::Incomplete)?;
    let (first, second) = bytes.split_at_checked(size).ok_or(Error::Incomplete)?;
    verify(first)?;
    if let Some(second) = second.get(..size).filter(|second| is_second(second, size))
        && verify(second).is_ok()
        && sequence(second) > sequence(first)
    {
        return Err(Error::Outdated);
    }
    let area = usize::try_from(LUKS2_BINARY).ok().and_then(|binary| first.get(binary..));
    let area = area.ok_or(Error::Incomplete)?;
    let end = memchr::memchr(0, area).unwrap_or(area.len());
    area.get(..end).ok_or(Error::Incomplete)
}

fn is_second(bytes: &[u8], offset: usize) -> bool {
    u64::try_from(offset).is_ok_and(|offset| layout::second(bytes, offset) == Some(offset))
}

/// Whether the checksum of one whole header holds: over all of it, its own field being zero.
fn verify(header: &[u8]) -> Result<(), Error> {
    let algorithm = field(header, ALGORITHM)?;
    let end = memchr::memchr(0, algorithm).unwrap_or(algorithm.len());
    if algorithm.get(..end) != Some(b"sha256".as_slice()) {
        return Err(Error::Algorithm);
    }
    let (at, length) = CHECKSUM;
    let stored = field(header, CHECKSUM)?;
    let computed = Sha256::new()
        .chain_update(field(header, (0, at))?)
        .chain_update([0; CHECKSUM.1])
        .chain_update(header.get(at.saturating_add(length)..).unwrap_or_default())
        .finalize();
    if stored.starts_with(&computed) { Ok(()) } else { Err(Error::Checksum) }
}

fn sequence(header: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(field(header, SEQUENCE).ok()?.try_into().ok()?))
}

fn field(bytes: &[u8], (at, length): (usize, usize)) -> Result<&[u8], Error> {
    bytes.get(at..at.saturating_add(length)).ok_or(Error::Incomplete)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: usize = 0x4000;

    fn header(magic: &[u8], sequence: u64, json: &str) -> Vec<u8> {
        let mut bytes = vec![0; SIZE];
        bytes[..6].copy_from_slice(magic);
        bytes[6..8].copy_from_slice(&2_u16.to_be_bytes());
        bytes[8..16].copy_from_slice(&(SIZE as u64).to_be_bytes());
        bytes[16..24].copy_from_slice(&sequence.to_be_bytes());
        bytes[72..78].copy_from_slice(b"sha256");
        bytes[4096..4096 + json.len()].copy_from_slice(json.as_bytes());
        sign(&mut bytes);
        bytes
    }

    fn sign(bytes: &mut [u8]) {
        bytes[448..512].fill(0);
        let digest = Sha256::digest(&*bytes);
        bytes[448..480].copy_from_slice(&digest);
    }

    fn pair(first: u64, second: u64) -> Vec<u8> {
        let mut bytes = header(b"LUKS\xba\xbe", first, "{}");
        bytes.extend(header(b"SKUL\xba\xbe", second, r#"{"a":1}"#));
        bytes
    }

    #[test]
    fn the_text_ends_where_the_zeros_begin() {
        assert_eq!(text(&pair(3, 3)), Ok(b"{}".as_slice()));
        assert_eq!(text(&pair(3, 3)[..SIZE]), Ok(b"{}".as_slice()), "a second one is not needed");
    }

    #[test]
    fn a_header_that_libcryptsetup_cannot_have_gone_by_is_refused() {
        assert_eq!(text(&pair(3, 4)), Err(Error::Outdated));
        let mut damaged = pair(3, 3);
        damaged[5000] = 1;
        assert_eq!(text(&damaged), Err(Error::Checksum));
        damaged[75] = b'5';
        assert_eq!(text(&damaged), Err(Error::Algorithm));
        assert_eq!(text(&pair(3, 3)[..SIZE - 1]), Err(Error::Incomplete));
    }

    #[test]
    fn a_newer_second_header_that_is_damaged_does_not_count() {
        let mut bytes = pair(3, 4);
        bytes[SIZE + 5000] = 1;
        assert_eq!(text(&bytes), Ok(b"{}".as_slice()));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(at in 0..SIZE, byte in any::<u8>(), resign in any::<bool>(), length in 0..2 * SIZE) {
            let mut bytes = pair(3, 3);
            bytes[at] = byte;
            if resign {
                sign(&mut bytes[..SIZE]);
            }
            bytes.truncate(length);
            let _text = text(&bytes);
        }
    }
}
