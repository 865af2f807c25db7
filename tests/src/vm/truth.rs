//! The ground truth of a scenario, measured and not assumed: markers are written through the path
//! in the guest, and the raw disks are searched for them on the host.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use memchr::memmem::Finder;
use nix::errno::Errno;
use nix::unistd::{Whence, lseek64};

/// How much of a disk is searched at a time.
const WINDOW: usize = 1 << 20;

/// Two random words that occur nowhere else.
#[derive(Debug, Clone)]
pub struct Markers {
    /// Repeated in the contents of a file. With a line's end it is 32 bytes, so that it stays
    /// whole in every block whatever the storage does with blocks.
    pub contents: String,
    /// Part of the name of a file.
    pub name: String,
}

impl Markers {
    /// New words.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 8];
        File::open("/dev/urandom")?.read_exact(&mut bytes).context("cannot read randomness")?;
        let word = u64::from_ne_bytes(bytes);
        Ok(Self {
            contents: format!("atrest-contents{word:016x}"),
            name: format!("atrest-name-{word:016x}"),
        })
    }
}

/// What was found in plaintext on one disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// The contents of a file.
    pub contents: bool,
    /// The name of a file.
    pub names: bool,
}

/// What was found in plaintext, by disk; disks without a finding are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truth {
    /// The findings by disk.
    pub disks: BTreeMap<String, Found>,
}

impl Truth {
    /// Searches the raw disks.
    pub fn measure(disks: &[(String, PathBuf)], markers: &Markers) -> Result<Self> {
        let mut truth = Self::default();
        for (name, path) in disks {
            let found = search(path, markers)
                .with_context(|| format!("cannot search {}", path.display()))?;
            if found != Found::default() {
                truth.disks.insert(name.clone(), found);
            }
        }
        Ok(truth)
    }

    /// Whether contents rest in plaintext anywhere.
    pub fn contents(&self) -> bool {
        self.disks.values().any(|found| found.contents)
    }

    /// Whether names rest in plaintext anywhere.
    pub fn names(&self) -> bool {
        self.disks.values().any(|found| found.names)
    }

    /// The disks with contents in plaintext.
    pub fn contents_on(&self) -> impl Iterator<Item = &str> {
        self.disks.iter().filter(|(_, found)| found.contents).map(|(name, _)| name.as_str())
    }
}

fn search(path: &Path, markers: &Markers) -> Result<Found> {
    let contents = Finder::new(&markers.contents);
    let name = Finder::new(&markers.name);
    let overlap = markers.contents.len().max(markers.name.len());
    let mut file = File::open(path)?;
    let mut found = Found::default();
    let mut window = Vec::new();
    let mut from = 0;
    while let Some((start, end)) = next_data(&file, from)? {
        file.seek(SeekFrom::Start(start))?;
        window.clear();
        let mut left = end - start;
        while left > 0 {
            // The end of the last window stays: a marker may lie across.
            let old = window.len().saturating_sub(overlap);
            window.drain(..old);
            let take = left.min(WINDOW as u64);
            let read = (&mut file).take(take).read_to_end(&mut window)?;
            found.contents |= contents.find(&window).is_some();
            found.names |= name.find(&window).is_some();
            left = if read == 0 { 0 } else { left - read as u64 };
        }
        from = end;
    }
    Ok(found)
}

/// The next part of a sparse file that is not a hole.
fn next_data(file: &File, from: u64) -> Result<Option<(u64, u64)>> {
    let from = i64::try_from(from).context("a disk beyond measure")?;
    let start = match lseek64(file, from, Whence::SeekData) {
        Ok(start) => start,
        Err(Errno::ENXIO) => return Ok(None),
        Err(errno) => return Err(std::io::Error::from(errno).into()),
    };
    let end = lseek64(file, start, Whence::SeekHole).map_err(std::io::Error::from)?;
    let (start, end) = (u64::try_from(start), u64::try_from(end));
    let negative = |_| std::io::Error::from(ErrorKind::InvalidData);
    Ok(Some((start.map_err(negative)?, end.map_err(negative)?)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn markers_are_found_across_windows_and_behind_holes() {
        let markers = Markers::random().unwrap();
        assert_eq!(markers.contents.len() + 1, 32);
        let dir = tempfile::tempdir().unwrap();
        let disk = |name: &str| (name.to_owned(), dir.path().join(name));
        let disks = [disk("vda"), disk("vdb"), disk("vdc")];
        for ((_, path), at) in disks.iter().zip([WINDOW as u64 - 5, 7 << 20, 0]) {
            let mut file = File::create(path).unwrap();
            file.set_len(16 << 20).unwrap();
            file.seek(SeekFrom::Start(at & !4095)).unwrap();
            file.write_all(&[1; 8192]).unwrap();
            file.seek(SeekFrom::Start(at)).unwrap();
            let word = if at == 0 { "nothing" } else { &markers.contents };
            file.write_all(word.as_bytes()).unwrap();
            if at > WINDOW as u64 {
                file.write_all(markers.name.as_bytes()).unwrap();
            }
        }
        let truth = Truth::measure(&disks, &markers).unwrap();
        assert_eq!(truth.contents_on().collect::<Vec<_>>(), ["vda", "vdb"]);
        assert_eq!(truth.disks["vdb"], Found { contents: true, names: true });
        assert!(truth.names());
        assert!(!truth.disks["vda"].names);
    }
}
