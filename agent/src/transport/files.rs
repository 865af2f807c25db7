//! Files that survive a crash: written whole or not at all, private from the first byte, read with a bound.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Whether a write must be on the disk before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Survives a power cut.
    Synced,
    /// Whole or absent, but a power cut may bring the old one back.
    Whole,
}

/// Makes a directory that only its owner may look into. An existing one is left as it is.
pub fn ensure_private_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

/// Makes root become the account that a directory is of, before it touches what is in there: a daemon of that account has to
/// be able to read what is made, and what it may have put there must not lead root astray. Does nothing for others.
///
/// To be called while there is one thread: it is for good.
pub fn become_owner_of(directory: &Path) -> io::Result<()> {
    use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};
    let Ok(found) = std::fs::metadata(directory) else { return Ok(()) };
    if !geteuid().is_root() || found.uid() == 0 {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
    setgroups(&[])
        .and_then(|()| setresgid(group, group, group))
        .and_then(|()| setresuid(user, user, user))
        .map_err(io::Error::from)
}

/// Makes a file that only its owner can read, and that was not there before.
pub fn create_private(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = give_to_owner_of_directory(&file, path)
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| if durability == Durability::Synced { file.sync_all() } else { Ok(()) });
    if written.is_err() {
        // Half a file is worth nothing, and on a full disk it is in the way.
        drop(std::fs::remove_file(path));
    }
    written
}

/// Puts `bytes` where `path` is, so that at any moment the old or the new contents are there, whole.
///
/// Only one process at a time may write a path: the temporary name is fixed, so that a crash leaves at most one.
pub fn replace(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let temporary = temporary_name(path);
    remove_if_there(&temporary)?;
    create_private(&temporary, bytes, durability)?;
    if let Err(error) = std::fs::rename(&temporary, path) {
        drop(std::fs::remove_file(&temporary));
        return Err(error);
    }
    match durability {
        Durability::Synced => sync_parent(path),
        Durability::Whole => Ok(()),
    }
}

/// Writes over a text file where it is, padded with blanks to its old length: needs no room where [`replace`] does, but
/// a reader may meet half of each.
pub fn overwrite(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or_default();
    let mut padded = text.to_vec();
    padded.resize(text.len().max(length), b' ');
    file.write_all(&padded)
}

/// Makes what happened to the entries of a directory durable.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    sync_dir(parent(path))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes a file. It is no error when it is not there.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Reads a file of at most `limit` bytes; `None` when it is not there.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than it can be"));
    }
    Ok(Some(bytes))
}

/// Tells one version of a replaced file from the next without reading it; `None` when it is not there.
pub fn signature(path: &Path) -> Option<Signature> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Signature {
        inode: metadata.ino(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
        size: metadata.size(),
    })
}

/// See [`signature`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    inode: u64,
    changed: (i64, i64),
    size: u64,
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    path.with_file_name(name)
}

/// Root enrols, but the daemon may run as a user of its own: what root writes belongs to whom the directory belongs.
fn give_to_owner_of_directory(file: &File, path: &Path) -> io::Result<()> {
    let wanted = std::fs::metadata(parent(path))?;
    let have = file.metadata()?;
    if have.uid() == wanted.uid() || !is_root() {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(wanted.uid()), Some(wanted.gid()))
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// A lock that the kernel takes away when its holder ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _held: File,
}

impl Lock {
    /// Takes the lock; `None` when somebody else holds it.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => {
                give_to_owner_of_directory(&file, path)?;
                file
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                OpenOptions::new().write(true).open(path)?
            }
            Err(error) => return Err(error),
        };
        match nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLK(&whole_file())) {
            Ok(_) => Ok(Some(Self { _held: file })),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether somebody holds the lock, without taking it.
    pub fn is_held(path: &Path) -> io::Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut asked = whole_file();
        nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_GETLK(&mut asked))?;
        Ok(i32::from(asked.l_type) != libc::F_UNLCK)
    }
}

fn whole_file() -> libc::flock {
    // The constants are ints of their own size in C; they all fit.
    let short = |value: i32| i16::try_from(value).unwrap_or_default();
    libc::flock {
        l_type: short(libc::F_WRLCK),
        l_whence: short(libc::SEEK_SET),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_private_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.json");
        std::fs::write(dir.path().join(".identity.json.tmp"), "left by a crash").unwrap();
        replace(&path, b"one", Durability::Synced).unwrap();
        let first = signature(&path).unwrap();
        replace(&path, b"two", Durability::Synced).unwrap();
        assert_ne!(signature(&path).unwrap(), first);
        assert_eq!(read_bounded(&path, 3).unwrap().unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn overwriting_leaves_nothing_of_a_longer_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert!(overwrite(&path, b"new").is_err(), "only what is there");
        std::fs::write(&path, "longer").unwrap();
        overwrite(&path, b"new").unwrap();
        assert_eq!(read_bounded(&path, 9).unwrap().unwrap(), b"new   ");
    }

    #[test]
    fn reading_is_bounded_and_absence_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert!(read_bounded(&path, 3).unwrap().is_none());
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read_bounded(&path, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_lock_is_held_once_and_seen_from_outside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!Lock::is_held(&path).unwrap());
        let held = Lock::try_take(&path).unwrap();
        assert!(held.is_some());
        assert!(Lock::try_take(&path).unwrap().is_none());
        assert!(Lock::is_held(&path).unwrap());
        drop(held);
        assert!(!Lock::is_held(&path).unwrap());
    }
}
