//! The server's own directory: private files, written whole or not at all, and one server at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// More than any file that is read whole here.
const MAX_FILE: u64 = 1 << 20;

/// Why the state directory cannot be used, with what to do about it.
#[derive(Debug, Error)]
pub enum StateError {
    #[error(
        "could not make the state directory {path}: make it, owned by the user of atrest-server"
    )]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "another atrest-server uses {path}: stop that one, or give this one its own with --state-dir"
    )]
    InUse { path: PathBuf },
    #[error("{path} can be read by others (mode {mode:04o}): run `chmod 600 {path}`")]
    Exposed { path: PathBuf, mode: u32 },
}

/// The directory, held by this process.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    // Released when the process ends, however it ends.
    _lock: File,
}

impl StateDir {
    /// Makes the directory if need be, and holds it against other servers.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let make = |source| StateError::Make { path: path.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(make)?;
        let lock_path = path.join("lock");
        let write = |source| StateError::Write { path: lock_path.clone(), source };
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(write)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StateError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(write(source)),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file's text; `None` when there is no such file.
    pub fn read(&self, name: &str) -> Result<Option<String>, StateError> {
        match read_bounded(&self.path(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Read { path: self.path(name), source }),
        }
    }

    /// The text of a file that holds a secret: refused when others can read it.
    pub fn read_secret(&self, name: &str) -> Result<Option<String>, StateError> {
        refuse_exposed(&self.path(name))?;
        self.read(name)
    }

    /// Writes a file of mode 0600: after a power cut it is the old one or the new one, whole.
    pub fn write(&self, name: &str, text: &str) -> Result<(), StateError> {
        write_private(&self.path, name, text)
    }

    /// Removes a file, if there is one.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.path(name);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(StateError::Write { path, source }),
        }
    }
}

/// Writes a file of mode 0600 that belongs to whom the directory belongs to: after a power cut it is the old one or the
/// new one, whole.
pub fn write_private(directory: &Path, name: &str, text: &str) -> Result<(), StateError> {
    let path = directory.join(name);
    let write = || {
        // Made with mode 0600, in the same directory, so that the rename is atomic.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(text.as_bytes())?;
        let (owner, own) = (std::fs::metadata(directory)?, file.as_file().metadata()?);
        // Root writes for the account of the server.
        if (owner.uid(), owner.gid()) != (own.uid(), own.gid()) {
            std::os::unix::fs::fchown(file.as_file(), Some(owner.uid()), Some(owner.gid()))?;
        }
        file.as_file().sync_all()?;
        file.persist(&path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|source| StateError::Write { path: path.clone(), source })
}

/// Reads a small file that holds a secret; refused when others can read it.
pub fn read_secret_file(path: &Path) -> Result<String, StateError> {
    refuse_exposed(path)?;
    read_file(path)
}

/// Reads a small file.
pub fn read_file(path: &Path) -> Result<String, StateError> {
    read_bounded(path).map_err(|source| StateError::Read { path: path.to_owned(), source })
}

fn refuse_exposed(path: &Path) -> Result<(), StateError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.mode() & 0o007 != 0 => {
            Err(StateError::Exposed { path: path.to_owned(), mode: metadata.mode() & 0o7777 })
        }
        // What is not there is for the caller to say.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_private_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("state")).unwrap();
        assert_eq!(state.read("a").unwrap(), None);
        state.write("a", "one").unwrap();
        state.write("a", "two").unwrap();
        assert_eq!(state.read_secret("a").unwrap().as_deref(), Some("two"));
        assert_eq!(std::fs::metadata(state.path("a")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(dir.path().join("state")).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_second_server_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path()).unwrap();
        assert!(matches!(StateDir::open(dir.path()), Err(StateError::InUse { .. })));
        drop(first);
        assert!(StateDir::open(dir.path()).is_ok());
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused_with_the_remedy() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = read_secret_file(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}
