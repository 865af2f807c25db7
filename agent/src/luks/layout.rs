//! Where the metadata of a LUKS header lies on a device: just enough to copy it, and no more.
//!
//! Whether a header is valid is not decided here but by libcryptsetup, on the copy. Pure: bytes in, places out.
//! Formats: `docs/on-disk-format.pdf` (LUKS1) and `docs/on-disk-format-luks2.pdf` of cryptsetup.

/// The magic of a LUKS1 header and of the first LUKS2 header.
const MAGIC: &[u8; 6] = b"LUKS\xba\xbe";

/// The magic of the second LUKS2 header.
const SECOND_MAGIC: &[u8; 6] = b"SKUL\xba\xbe";

/// The size of a LUKS1 header without its key material.
pub const LUKS1_HEADER: u64 = 592;

/// The size of the binary part of a LUKS2 header; the JSON area follows it.
pub const LUKS2_BINARY: u64 = 4096;

/// As much of a header as [`start`], [`second`] and [`names`] look at.
pub const LOOK: usize = 512;

/// The sizes that a LUKS2 header may have, JSON area included; the second header starts at that offset.
pub const LUKS2_SIZES: [u64; 9] =
    [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];

/// The smallest LUKS2 header: what lies before it is metadata in every LUKS2 volume.
pub const LUKS2_SMALLEST: u64 = 0x4000;

/// What the first bytes of a device say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// No LUKS magic. A second LUKS2 header may still be there.
    Other,
    Luks1,
    /// With the size it gives for itself, when that is one of [`LUKS2_SIZES`].
    Luks2(Option<u64>),
    /// The magic with a version that nobody has defined.
    Unsupported(u16),
}

/// What the first [`LOOK`] bytes of a device say.
pub fn start(bytes: &[u8]) -> Start {
    if bytes.get(..6) != Some(MAGIC.as_slice()) {
        return Start::Other;
    }
    match version(bytes) {
        Some(1) => Start::Luks1,
        Some(2) => Start::Luks2(size(bytes)),
        Some(other) => Start::Unsupported(other),
        None => Start::Other,
    }
}

/// How much metadata there is where these bytes, found at `offset`, begin a second LUKS2 header.
///
/// One that does not fit its place is metadata only in its binary part, for libcryptsetup to refuse.
pub fn second(bytes: &[u8], offset: u64) -> Option<u64> {
    if bytes.get(..6) != Some(SECOND_MAGIC.as_slice()) {
        return None;
    }
    let fits = version(bytes) == Some(2) && size(bytes) == Some(offset);
    Some(if fits { offset } else { LUKS2_BINARY })
}

/// The names in a header, which stand outside the JSON area.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    pub uuid: String,
    /// LUKS2 only.
    pub label: String,
    /// LUKS2 only.
    pub subsystem: String,
}

/// The names in the header that these bytes begin.
pub fn names(bytes: &[u8]) -> Names {
    // LUKS1 has its UUID at the same place as LUKS2.
    let uuid = text(bytes, 168, 40);
    match start(bytes) {
        Start::Luks2(_) => {
            Names { uuid, label: text(bytes, 24, 48), subsystem: text(bytes, 208, 48) }
        }
        Start::Luks1 => Names { uuid, ..Names::default() },
        Start::Other | Start::Unsupported(_) => Names::default(),
    }
}

fn version(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(6..8)?.try_into().ok()?))
}

fn size(bytes: &[u8]) -> Option<u64> {
    let size = u64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?);
    LUKS2_SIZES.contains(&size).then_some(size)
}

/// A text field that ends at its first NUL.
fn text(bytes: &[u8], at: usize, length: usize) -> String {
    let field = bytes.get(at..at.saturating_add(length)).unwrap_or_default();
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    super::clean(&String::from_utf8_lossy(field.get(..end).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(magic: &[u8], version: u16, size: u64) -> Vec<u8> {
        let mut bytes = vec![0_u8; LOOK];
        bytes[..6].copy_from_slice(magic);
        bytes[6..8].copy_from_slice(&version.to_be_bytes());
        bytes[8..16].copy_from_slice(&size.to_be_bytes());
        bytes[24..28].copy_from_slice(b"name");
        bytes[168..172].copy_from_slice(b"uuid");
        bytes
    }

    #[test]
    fn the_version_decides_how_much_is_metadata() {
        assert_eq!(start(&header(MAGIC, 1, 0)), Start::Luks1);
        assert_eq!(start(&header(MAGIC, 2, 0x4000)), Start::Luks2(Some(0x4000)));
        assert_eq!(start(&header(MAGIC, 3, 0x4000)), Start::Unsupported(3));
        assert_eq!(start(b"LUKS"), Start::Other);
        assert_eq!(start(&[0; LOOK]), Start::Other);
    }

    #[test]
    fn a_size_that_luks2_does_not_allow_is_not_followed() {
        for size in [0, 1, 0x4001, 0x80_0000, u64::MAX] {
            assert_eq!(start(&header(MAGIC, 2, size)), Start::Luks2(None));
        }
    }

    #[test]
    fn a_second_header_counts_whole_when_it_fits_its_place() {
        let bytes = header(SECOND_MAGIC, 2, 0x8000);
        assert_eq!(second(&bytes, 0x8000), Some(0x8000));
        assert_eq!(second(&bytes, 0x4000), Some(LUKS2_BINARY));
        assert_eq!(second(&header(MAGIC, 2, 0x8000), 0x8000), None);
    }

    #[test]
    fn luks1_has_a_uuid_and_no_label() {
        assert_eq!(
            names(&header(MAGIC, 1, 0)),
            Names { uuid: "uuid".to_owned(), ..Names::default() }
        );
        assert_eq!(names(&header(MAGIC, 2, 0x4000)).label, "name");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), offset in any::<u64>()) {
            drop((start(&bytes), second(&bytes, offset), names(&bytes)));
        }
    }
}
