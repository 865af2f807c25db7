//! The private copy: the metadata of a header, at its own offsets in an otherwise empty file in memory.
//!
//! Keyslot areas and data are never read, but for the sixteen bytes in which a lost LUKS2 header's second copy is
//! looked for. What is read is bounded by the format: 8 MiB.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::luks::layout::{
    self, LOOK, LUKS1_HEADER, LUKS2_BINARY, LUKS2_SIZES, LUKS2_SMALLEST, Start,
};

/// What lies at the start of a device.
pub(super) enum Found {
    /// Nothing that claims to be LUKS.
    Nothing,
    /// The magic with a version that is not known.
    Unsupported(u16),
    Header(PrivateCopy),
}

/// A file in memory with the metadata of one header.
pub(super) struct PrivateCopy {
    memory: File,
    parts: Vec<Part>,
}

/// A run of bytes as the device had it.
#[derive(PartialEq, Eq)]
struct Part {
    offset: u64,
    bytes: Vec<u8>,
}

/// Copies the header of a device of `size` bytes, if there is one.
pub(super) fn take(device: &File, size: u64) -> io::Result<Found> {
    let look = part(device, 0, LOOK as u64)?;
    let ranges = match layout::start(&look.bytes) {
        Start::Unsupported(version) => return Ok(Found::Unsupported(version)),
        Start::Luks1 => vec![(0, LUKS1_HEADER)],
        Start::Luks2(Some(first)) if second_at(device, first)? == Some(first) => {
            vec![(0, first), (first, first)]
        }
        start @ (Start::Luks2(_) | Start::Other) => {
            let seconds = seconds(device)?;
            let first = match start {
                // The start of the device belongs to somebody else: nothing to see here.
                Start::Other if seconds.is_empty() => return Ok(Found::Nothing),
                // The place of the second header is copied too, so that its loss shows.
                Start::Luks2(Some(first)) => vec![(0, first), (first, LUKS2_BINARY)],
                Start::Luks2(None) | Start::Other | Start::Luks1 | Start::Unsupported(_) => {
                    vec![(0, LUKS2_SMALLEST)]
                }
            };
            first.into_iter().chain(seconds).collect()
        }
    };
    let mut parts = Vec::new();
    for (offset, length) in ranges {
        parts.push(part(device, offset, length)?);
    }
    PrivateCopy::new(parts, size).map(Found::Header)
}

impl PrivateCopy {
    fn new(parts: Vec<Part>, size: u64) -> io::Result<Self> {
        let memory = File::from(memfd_create(
            "luks-header",
            MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING,
        )?);
        // libcryptsetup checks offsets against the size of the device. The rest is a hole and costs nothing.
        memory.set_len(size)?;
        for part in &parts {
            let fits = size.saturating_sub(part.offset).min(part.bytes.len() as u64);
            let bytes = usize::try_from(fits).ok().and_then(|fits| part.bytes.get(..fits));
            memory.write_all_at(bytes.unwrap_or_default(), part.offset)?;
        }
        let seals = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
        fcntl(&memory, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(Self { memory, parts })
    }

    /// Another handle on the same memory.
    pub(super) fn handle(&self) -> io::Result<File> {
        self.memory.try_clone()
    }

    /// Whether the device had the same bytes both times.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.parts == other.parts
    }

    /// The copies of the header that are not any more what they were.
    pub(super) fn changed(&self) -> io::Result<Vec<String>> {
        let mut changed = Vec::new();
        for was in &self.parts {
            let now = part(&self.memory, was.offset, was.bytes.len() as u64)?;
            let name = if was.offset == 0 { "primary" } else { "secondary" };
            if now != *was && !changed.iter().any(|known| known == name) {
                changed.push(name.to_owned());
            }
        }
        Ok(changed)
    }
}

/// Where second LUKS2 headers lie, and how long they are.
fn seconds(device: &File) -> io::Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    for offset in LUKS2_SIZES {
        found.extend(second_at(device, offset)?.map(|length| (offset, length)));
    }
    Ok(found)
}

fn second_at(device: &File, offset: u64) -> io::Result<Option<u64>> {
    Ok(layout::second(&part(device, offset, 16)?.bytes, offset))
}

/// At most `length` bytes from `offset`; fewer where the device ends.
fn part(device: &File, offset: u64, length: u64) -> io::Result<Part> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match device.read_at(rest, offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(Part { offset, bytes })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn device(parts: &[(u64, &[u8])], size: u64) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[]).unwrap();
        file.set_len(size).unwrap();
        for (offset, bytes) in parts {
            file.write_all_at(bytes, *offset).unwrap();
        }
        file
    }

    fn luks2(magic: [u8; 6], size: u64) -> Vec<u8> {
        let mut bytes = magic.to_vec();
        bytes.extend_from_slice(&2_u16.to_be_bytes());
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes
    }

    fn copied(device: &File) -> Vec<(u64, usize)> {
        match take(device, device.metadata().unwrap().len()).unwrap() {
            Found::Header(copy) => {
                copy.parts.iter().map(|part| (part.offset, part.bytes.len())).collect()
            }
            Found::Nothing => Vec::new(),
            Found::Unsupported(version) => panic!("version {version}"),
        }
    }

    #[test]
    fn of_luks1_only_the_header_is_copied() {
        let device = device(&[(0, b"LUKS\xba\xbe\0\x01"), (592, &[0xaa; 4096])], 1 << 20);
        assert_eq!(copied(&device), [(0, 592)]);
    }

    #[test]
    fn of_luks2_both_headers_are_copied_and_no_keyslot_area() {
        let first = luks2(*b"LUKS\xba\xbe", 0x4000);
        let second = luks2(*b"SKUL\xba\xbe", 0x4000);
        let device = device(&[(0, &first), (0x4000, &second), (0x8000, &[0xaa; 4096])], 1 << 24);
        assert_eq!(copied(&device), [(0, 0x4000), (0x4000, 0x4000)]);
    }

    #[test]
    fn a_second_header_is_found_when_the_first_is_gone() {
        for size in LUKS2_SIZES {
            let second = luks2(*b"SKUL\xba\xbe", size);
            let device = device(&[(size, &second)], 1 << 24);
            assert_eq!(copied(&device), [(0, 0x4000), (size, usize::try_from(size).unwrap())]);
        }
    }

    #[test]
    fn a_device_without_either_magic_is_not_luks() {
        assert!(copied(&device(&[], 1 << 20)).is_empty());
        assert!(copied(&device(&[], 0)).is_empty());
        assert!(copied(&device(&[(0, b"XFSB")], 5)).is_empty());
    }

    #[test]
    fn the_copy_has_the_size_of_the_device_and_what_changes_in_it_shows() {
        let first = luks2(*b"LUKS\xba\xbe", 0x4000);
        let device = device(&[(0, &first)], 1 << 24);
        let Found::Header(copy) = take(&device, 1 << 40).unwrap() else { panic!("no header") };
        assert_eq!(copy.handle().unwrap().metadata().unwrap().len(), 1 << 40);
        assert!(copy.changed().unwrap().is_empty());
        copy.handle().unwrap().write_all_at(b"SKUL", 0x4000).unwrap();
        assert_eq!(copy.changed().unwrap(), ["secondary"]);
    }
}
