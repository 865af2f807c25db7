//! Files below a root directory, seen as a process whose root it is would see them.
//!
//! With `/` the kernel resolves; with any other root symbolic links are followed here, so that an absolute
//! link in a recording or in a container stays inside it.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use atrest_proto::model::Reason;
use rustix::fs::{Mode, OFlags};

use super::{FileKind, Metadata, trouble};
use crate::path::HostPath;
use crate::snapshot::{DeviceNumber, Trouble};

/// The kernel's own bound, `MAXSYMLINKS` in `include/linux/namei.h`.
const MAX_LINKS: usize = 40;

/// In bytes: the buffer for a larger file is not left to grow.
const LARGE: usize = 64 * 1024;

/// How far a path leads.
#[derive(Debug)]
pub(super) struct Reached {
    /// What is there, without symbolic links.
    pub(super) at: HostPath,
    /// The components from the first that is not there on.
    pub(super) missing: Vec<Vec<u8>>,
    trouble: Option<Trouble>,
}

/// A directory that stands for `/`.
#[derive(Debug, Clone)]
pub(super) struct Rooted {
    root: PathBuf,
    /// The directory, opened at the first look: it may be that of a process.
    opened: Arc<OnceLock<Option<OwnedFd>>>,
}

impl Rooted {
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), opened: Arc::default() }
    }

    /// The real path of `path`, without resolving symbolic links.
    pub(super) fn real(&self, path: &HostPath) -> PathBuf {
        if self.root == Path::new("/") {
            return path.as_path().to_path_buf();
        }
        let mut real = self.root.clone();
        // What `..` leads to was decided before; here it would lead out.
        for part in path.components().filter(|part| *part != b"..") {
            real.push(HostPath::new(part.to_vec()).as_path());
        }
        // The root of a process is a link to it, and the link is not what is meant.
        if real == self.root {
            real.push(".");
        }
        real
    }

    /// Opens `path` below another root than `/`, with the kernel following its links inside: one call and not one for each
    /// component.
    ///
    /// `None` when that did not succeed, for whatever reason, as on a kernel before 5.6: then the walk decides, and says
    /// what is wrong.
    fn opened(&self, path: &HostPath, how: OFlags) -> Option<OwnedFd> {
        if self.root == Path::new("/") {
            return None;
        }
        let into = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = self.opened.get_or_init(|| {
            rustix::fs::openat(rustix::fs::CWD, &self.root, into, Mode::empty()).ok()
        });
        let how = how | OFlags::CLOEXEC;
        let inside = rustix::fs::ResolveFlags::IN_ROOT;
        rustix::fs::openat2(root.as_ref()?, path.as_path(), how, Mode::empty(), inside).ok()
    }

    /// Resolves symbolic links, `.` and `..`. The last component must exist.
    pub(super) fn resolve(&self, path: &HostPath) -> Result<HostPath, Trouble> {
        if self.root == Path::new("/") {
            return std::fs::canonicalize(path.as_path())
                .map(HostPath::from)
                .map_err(|error| trouble(&error, path));
        }
        self.walk(path, true)
    }

    /// Follows `path` component by component. With `last`, also a final symbolic link.
    fn walk(&self, path: &HostPath, last: bool) -> Result<HostPath, Trouble> {
        let reached = self.reach(path, last)?;
        match (reached.missing.last(), reached.trouble) {
            (Some(_), Some(trouble)) => Err(trouble),
            _ => Ok(reached.at),
        }
    }

    /// How far `path` leads: as [`Self::resolve`], but what is not there is no error.
    pub(super) fn reach(&self, path: &HostPath, last: bool) -> Result<Reached, Trouble> {
        let mut at = HostPath::root();
        let mut links = 0;
        let mut todo: Vec<Vec<u8>> = path.components().rev().map(<[u8]>::to_vec).collect();
        while let Some(part) = todo.pop() {
            if part == b".." {
                at = at.parent().unwrap_or_else(HostPath::root);
                continue;
            }
            let next = at.join(&part);
            let metadata = match std::fs::symlink_metadata(self.real(&next)) {
                Ok(metadata) => metadata,
                Err(error) => {
                    let trouble = trouble(&error, &next);
                    if trouble.reason != Reason::NotFound {
                        return Err(trouble);
                    }
                    let missing = std::iter::once(part).chain(todo.into_iter().rev()).collect();
                    return Ok(Reached { at, missing, trouble: Some(trouble) });
                }
            };
            if !metadata.file_type().is_symlink() || (todo.is_empty() && !last) {
                at = next;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(Trouble::new(
                    Reason::Unreadable,
                    format!("{path}: more than {MAX_LINKS} symbolic links"),
                ));
            }
            let target = self.read_link_at(&next)?;
            if target.is_absolute() {
                at = HostPath::root();
            }
            todo.extend(target.components().rev().map(<[u8]>::to_vec));
        }
        Ok(Reached { at, missing: Vec::new(), trouble: None })
    }

    fn read_link_at(&self, path: &HostPath) -> Result<HostPath, Trouble> {
        std::fs::read_link(self.real(path))
            .map(HostPath::from)
            .map_err(|error| trouble(&error, path))
    }

    /// The real path to open for `path`: its directories resolved inside the root.
    fn located(&self, path: &HostPath, follow: bool) -> Result<PathBuf, Trouble> {
        if self.root == Path::new("/") {
            return Ok(path.as_path().to_path_buf());
        }
        self.walk(path, follow).map(|resolved| self.real(&resolved))
    }

    pub(super) fn read(&self, path: &HostPath, limit: usize) -> Result<Vec<u8>, Trouble> {
        let file = self.open(path)?;
        // Files of the kernel have no size; others are read in one piece.
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        let size = usize::try_from(size).unwrap_or(limit).min(limit);
        let mut bytes = Vec::with_capacity(if size > LARGE { size + 1 } else { 0 });
        // One more than the limit tells "exactly the limit" from "more".
        let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        file.take(bound).read_to_end(&mut bytes).map_err(|error| trouble(&error, path))?;
        if bytes.len() > limit {
            return Err(Trouble::new(
                Reason::Unreadable,
                format!("{path}: larger than {limit} bytes, which is more than such a file has"),
            ));
        }
        Ok(bytes)
    }

    pub(super) fn read_start(&self, path: &HostPath, length: usize) -> Result<Vec<u8>, Trouble> {
        let mut bytes = Vec::new();
        let bound = u64::try_from(length).unwrap_or(u64::MAX);
        self.open(path)?
            .take(bound)
            .read_to_end(&mut bytes)
            .map_err(|error| trouble(&error, path))?;
        Ok(bytes)
    }

    /// The first `length` bytes of a regular file that no symbolic link leads to, at any component.
    ///
    /// Where users may write, a name can be swapped for a link between two looks, and opening some devices does
    /// something: each component is opened below the one before, and never followed.
    pub(super) fn read_start_unlinked(
        &self,
        path: &HostPath,
        length: usize,
    ) -> Result<Vec<u8>, Trouble> {
        use rustix::fs::{CWD, openat};
        let failed = |errno: rustix::io::Errno| trouble(&errno.into(), path);
        let into = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = openat(CWD, &self.root, into, Mode::empty()).map_err(failed)?;
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            let how = if parts.peek().is_some() {
                into
            } else {
                OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY
            };
            at = openat(&at, part, how | OFlags::NOFOLLOW, Mode::empty()).map_err(failed)?;
        }
        let file = File::from(at);
        let kind = file.metadata().map_err(|error| trouble(&error, path))?.file_type();
        if !kind.is_file() {
            return Err(Trouble::new(Reason::Unreadable, format!("{path}: not a regular file")));
        }
        let mut bytes = Vec::new();
        let bound = u64::try_from(length).unwrap_or(u64::MAX);
        file.take(bound).read_to_end(&mut bytes).map_err(|error| trouble(&error, path))?;
        Ok(bytes)
    }

    /// Opens a regular file for reading. Without blocking: a FIFO in its place must not hang the scan.
    fn open(&self, path: &HostPath) -> Result<File, Trouble> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let quick = self.opened(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY);
        let file = match quick {
            Some(file) => File::from(file),
            None => std::fs::OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY)
                .open(self.located(path, true)?)
                .map_err(|error| trouble(&error, path))?,
        };
        let kind = file.metadata().map_err(|error| trouble(&error, path))?.file_type();
        if kind.is_file() {
            Ok(file)
        } else {
            Err(Trouble::new(Reason::Unreadable, format!("{path}: not a regular file")))
        }
    }

    pub(super) fn list(&self, directory: &HostPath) -> Result<Vec<Vec<u8>>, Trouble> {
        if let Some(names) = self.listed(directory) {
            return Ok(names);
        }
        let mut names = Vec::new();
        let entries = std::fs::read_dir(self.located(directory, true)?)
            .map_err(|error| trouble(&error, directory))?;
        for entry in entries {
            let entry = entry.map_err(|error| trouble(&error, directory))?;
            names.push(HostPath::from(PathBuf::from(entry.file_name())).as_bytes().to_vec());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The names in a directory that could be opened at once and read whole.
    fn listed(&self, directory: &HostPath) -> Option<Vec<Vec<u8>>> {
        let opened = self.opened(directory, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(opened).ok()? {
            let entry = entry.ok()?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable();
        Some(names)
    }

    pub(super) fn read_link(&self, path: &HostPath) -> Result<HostPath, Trouble> {
        let quick = self.opened(path, OFlags::PATH | OFlags::NOFOLLOW);
        let target = quick.and_then(|link| rustix::fs::readlinkat(link, "", Vec::new()).ok());
        if let Some(target) = target {
            return Ok(HostPath::new(target.into_bytes()));
        }
        std::fs::read_link(self.located(path, false)?)
            .map(HostPath::from)
            .map_err(|error| trouble(&error, path))
    }

    pub(super) fn metadata(&self, path: &HostPath, follow: bool) -> Result<Metadata, Trouble> {
        let real = self.located(path, follow)?;
        let metadata =
            if follow { std::fs::metadata(real) } else { std::fs::symlink_metadata(real) };
        let metadata = metadata.map_err(|error| trouble(&error, path))?;
        let kind = metadata.file_type();
        let kind = if kind.is_file() {
            FileKind::File
        } else if kind.is_dir() {
            FileKind::Directory
        } else if kind.is_symlink() {
            FileKind::Symlink
        } else if kind.is_block_device() {
            FileKind::BlockDevice
        } else {
            FileKind::Other
        };
        let block_device = (kind == FileKind::BlockDevice).then(|| device_number(metadata.rdev()));
        Ok(Metadata {
            kind,
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            size: metadata.size(),
            links: metadata.nlink(),
            block_device,
            changed_at: metadata.ctime(),
        })
    }

    pub(super) fn attribute(
        &self,
        path: &HostPath,
        name: &str,
    ) -> Result<Option<Vec<u8>>, Trouble> {
        super::live::extended_attribute(&self.located(path, true)?, name)
            .map_err(|error| trouble(&error, path))
    }
}

/// The parts of a `dev_t`.
pub(super) fn device_number(raw: u64) -> DeviceNumber {
    let major = nix::sys::stat::major(raw);
    let minor = nix::sys::stat::minor(raw);
    DeviceNumber::new(
        u32::try_from(major).unwrap_or(u32::MAX),
        u32::try_from(minor).unwrap_or(u32::MAX),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> (tempfile::TempDir, Rooted) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("etc/sub")).unwrap();
        std::fs::write(root.join("etc/file"), "inside").unwrap();
        symlink("/etc/file", root.join("absolute")).unwrap();
        symlink("../../../../etc/file", root.join("etc/sub/climb")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let rooted = Rooted::new(root);
        (directory, rooted)
    }

    #[test]
    fn links_stay_inside_the_root() {
        let (_directory, rooted) = tree();
        for link in ["/absolute", "/etc/sub/climb", "/etc/sub/../file", "/../etc/file"] {
            assert_eq!(rooted.resolve(&link.into()), Ok("/etc/file".into()), "{link}");
            assert_eq!(rooted.read(&link.into(), 100).unwrap(), b"inside", "{link}");
        }
    }

    #[test]
    fn the_root_itself_is_no_link_to_it() {
        let (directory, _) = tree();
        let link = directory.path().join("root");
        symlink(directory.path(), &link).unwrap();
        let rooted = Rooted::new(&link);
        assert_eq!(rooted.metadata(&"/".into(), false).unwrap().kind, FileKind::Directory);
        assert!(!std::fs::symlink_metadata(rooted.real(&"/".into())).unwrap().is_symlink());
    }

    #[test]
    fn a_link_to_what_is_not_there_is_followed_all_the_same() {
        let (directory, rooted) = tree();
        symlink("/plain/es", directory.path().join("away")).unwrap();
        let reached = rooted.reach(&"/away/nodes".into(), true).unwrap();
        assert_eq!(reached.at, HostPath::root());
        assert_eq!(reached.missing, [&b"plain"[..], b"es", b"nodes"]);
        assert_eq!(rooted.resolve(&"/away".into()).unwrap_err().reason, Reason::NotFound);
    }

    #[test]
    fn the_kernel_and_the_walk_find_the_same() {
        let (directory, rooted) = tree();
        symlink("/etc", directory.path().join("linked")).unwrap();
        symlink("file", directory.path().join("etc/again")).unwrap();
        let paths = [
            "/absolute",
            "/etc/sub/climb",
            "/etc/sub/../file",
            "/../etc/file",
            "/linked/file",
            "/linked/again",
            "/",
            "/etc",
            "/linked",
            "/linked/sub",
            "/loop",
            "/nope",
            "/etc/file/x",
            "/etc/../../..",
            "//etc/./sub/",
        ];
        // Without the directory opened the walk does it all.
        let walked =
            Rooted { root: directory.path().to_owned(), opened: Arc::new(OnceLock::from(None)) };
        assert!(rooted.opened(&"/etc/file".into(), OFlags::RDONLY).is_some());
        assert!(walked.opened(&"/etc/file".into(), OFlags::RDONLY).is_none());
        for path in paths.map(HostPath::from) {
            assert_eq!(rooted.read(&path, 100), walked.read(&path, 100), "{path}");
            assert_eq!(rooted.read_start(&path, 3), walked.read_start(&path, 3), "{path}");
            assert_eq!(rooted.list(&path), walked.list(&path), "{path}");
            assert_eq!(rooted.read_link(&path), walked.read_link(&path), "{path}");
        }
    }

    #[test]
    fn a_link_cycle_ends() {
        let (_directory, rooted) = tree();
        assert_eq!(rooted.resolve(&"/loop".into()).unwrap_err().reason, Reason::Unreadable);
    }

    #[test]
    fn a_file_larger_than_the_limit_is_refused_not_cut() {
        let (_directory, rooted) = tree();
        assert!(rooted.read(&"/etc/file".into(), 6).is_ok());
        let trouble = rooted.read(&"/etc/file".into(), 5).unwrap_err();
        assert_eq!(trouble.reason, Reason::Unreadable);
    }

    #[test]
    fn what_is_missing_is_not_found() {
        let (_directory, rooted) = tree();
        assert_eq!(rooted.read(&"/nope".into(), 5).unwrap_err().reason, Reason::NotFound);
        assert_eq!(rooted.list(&"/nope".into()).unwrap_err().reason, Reason::NotFound);
    }

    #[test]
    fn no_link_is_followed_when_none_may_be() {
        let (directory, rooted) = tree();
        symlink("etc", directory.path().join("linked")).unwrap();
        nix::unistd::mkfifo(&directory.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let start = |path: &str| rooted.read_start_unlinked(&path.into(), 3);
        assert_eq!(start("/etc/file"), Ok(b"ins".to_vec()));
        for path in ["/absolute", "/linked/file", "/etc", "/fifo", "/"] {
            assert!(start(path).is_err(), "{path}");
        }
        assert_eq!(start("/etc/nope").unwrap_err().reason, Reason::NotFound);
    }

    #[test]
    fn a_fifo_is_refused_without_hanging() {
        let (directory, rooted) = tree();
        nix::unistd::mkfifo(&directory.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(rooted.read(&"/fifo".into(), 5).unwrap_err().reason, Reason::Unreadable);
    }
}
