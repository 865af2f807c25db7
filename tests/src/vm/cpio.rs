//! Writes the `newc` cpio archive that the kernel unpacks as its first root file system.
//! Knows nothing of what is in it, and needs no root: device nodes are only entries here.
//! The format is in the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const DIRECTORY: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// An archive being written; parents of an entry are made as needed.
#[derive(Debug)]
pub(super) struct Archive<W> {
    out: W,
    inode: u32,
    directories: BTreeSet<PathBuf>,
}

impl<W: Write> Archive<W> {
    /// An empty archive.
    pub(super) fn new(out: W) -> Self {
        Self { out, inode: 0, directories: BTreeSet::new() }
    }

    /// A directory, with its parents.
    pub(super) fn directory(&mut self, path: &Path) -> io::Result<()> {
        let path = relative(path);
        if path.as_os_str().is_empty() || self.directories.contains(&path) {
            return Ok(());
        }
        self.parents(&path)?;
        self.directories.insert(path.clone());
        self.entry(&path, DIRECTORY | 0o755, (0, 0), &[])
    }

    /// A file with these permission bits.
    pub(super) fn file(
        &mut self,
        path: &Path,
        permissions: u32,
        contents: &[u8],
    ) -> io::Result<()> {
        let path = relative(path);
        self.parents(&path)?;
        self.entry(&path, REGULAR | permissions, (0, 0), contents)
    }

    /// A symbolic link.
    pub(super) fn symlink(&mut self, path: &Path, target: &str) -> io::Result<()> {
        let path = relative(path);
        self.parents(&path)?;
        self.entry(&path, SYMLINK | 0o777, (0, 0), target.as_bytes())
    }

    /// A character device.
    pub(super) fn character_device(&mut self, path: &Path, device: (u32, u32)) -> io::Result<()> {
        let path = relative(path);
        self.parents(&path)?;
        self.entry(&path, CHARACTER_DEVICE | 0o600, device, &[])
    }

    /// Writes the trailer and gives the writer back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        self.entry(Path::new("TRAILER!!!"), 0, (0, 0), &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn parents(&mut self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) => self.directory(parent),
            None => Ok(()),
        }
    }

    fn entry(
        &mut self,
        path: &Path,
        mode: u32,
        device: (u32, u32),
        contents: &[u8],
    ) -> io::Result<()> {
        let name = path.as_os_str().as_encoded_bytes();
        let size = u32::try_from(contents.len()).map_err(io::Error::other)?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        self.inode += 1;
        let (owner, group, links, time) = (0, 0, 1, 0);
        let (major, minor, checksum) = (0, 0, 0);
        let fields = [
            self.inode, mode, owner, group, links, time, size, major, minor, device.0, device.1,
            name_size, checksum,
        ];
        self.out.write_all(b"070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        self.out.write_all(name)?;
        self.out.write_all(b"\0")?;
        self.pad(6 + 8 * fields.len() + name.len() + 1)?;
        self.out.write_all(contents)?;
        self.pad(contents.len())
    }

    /// Names and contents both end on a multiple of four.
    fn pad(&mut self, written: usize) -> io::Result<()> {
        for _ in written..written.next_multiple_of(4) {
            self.out.write_all(b"\0")?;
        }
        Ok(())
    }
}

/// Entries of an archive are relative to its root.
fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_first_and_once_and_everything_is_padded() {
        let mut archive = Archive::new(Vec::new());
        archive.file(Path::new("/a/b/one"), 0o644, b"12345").unwrap();
        archive.file(Path::new("/a/b/two"), 0o755, b"").unwrap();
        archive.symlink(Path::new("/a/link"), "b/one").unwrap();
        archive.character_device(Path::new("/dev/console"), (5, 1)).unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(
            names(&bytes),
            ["a", "a/b", "a/b/one", "a/b/two", "a/link", "dev", "dev/console", "TRAILER!!!"]
        );
    }

    /// Reads the archive back the way the kernel does.
    fn names(mut bytes: &[u8]) -> Vec<String> {
        let field = |entry: &[u8], index: usize| {
            let text = std::str::from_utf8(&entry[6 + 8 * index..14 + 8 * index]).unwrap();
            usize::from_str_radix(text, 16).unwrap()
        };
        let mut names = Vec::new();
        while !bytes.is_empty() {
            assert_eq!(&bytes[..6], b"070701");
            let (size, name_size) = (field(bytes, 6), field(bytes, 11));
            names.push(String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).unwrap());
            let contents = (110 + name_size).next_multiple_of(4);
            bytes = &bytes[contents + size.next_multiple_of(4)..];
        }
        names
    }
}
