//! The running machine.
//!
//! Its root may be a directory other than `/`, as in a container that has the host's root mounted there: proc,
//! sysfs and device nodes are then taken from below that directory. The root of the first process is such a directory, for
//! a service that has mounts of its own and is to see those of the host.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use atrest_proto::model::Reason;

use super::luks_reader;
use super::rooted::{Rooted, device_number};
use super::{
    FileKind, Final, Host, Metadata, Resolution, deadline, device_mapper, fscrypt, links,
    loop_device, mount_id_of, stuck_mounts, trouble, zfs_tools,
};
use crate::links::Links;
use crate::path::HostPath;
use crate::snapshot::{
    BlockDevice, DeviceNumber, DmTarget, LoopBacking, Namespace, Observed, Resolved, ServiceFacts,
    Trouble,
};
use crate::{luks, zfs};

/// This machine.
#[derive(Debug, Clone)]
pub struct LiveHost {
    root: PathBuf,
    is_this_machine: bool,
}

/// The host as its first process sees it (`proc_pid_root(5)`); to go there takes `CAP_SYS_PTRACE`.
pub const AS_INIT: &str = "/proc/1/root";

impl LiveHost {
    /// The machine whose root directory is `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { is_this_machine: root == Path::new("/"), root }
    }

    /// This machine as its first process sees it, whatever mounts and network this process has of its own.
    pub fn as_init() -> Self {
        Self { root: PathBuf::from(AS_INIT), is_this_machine: true }
    }

    /// This machine, whatever this process sees of it: as its first process sees it, unless both see the same. When nobody tells,
    /// they are taken to differ: what this process has of its own is never taken for the host's.
    pub fn of_this_machine() -> Self {
        let same = |kind: &str| {
            let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}"));
            matches!((of("self"), of("1")), (Ok(own), Ok(first)) if own == first)
        };
        if same("mnt") && same("net") { Self::new("/") } else { Self::as_init() }
    }

    /// The root directory, as this process reaches it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The files that a process in `namespace` sees.
    fn files(&self, namespace: &Namespace) -> Rooted {
        match namespace {
            Namespace::Host => Rooted::new(&self.root),
            Namespace::Process(pid) => Rooted::new(self.root.join(format!("proc/{pid}/root"))),
        }
    }

    /// Makes a look at files: with a deadline where a disk, a server or another process may keep it waiting.
    fn look<T: Send + 'static>(
        &self,
        namespace: &Namespace,
        path: &HostPath,
        look: impl FnOnce(&Rooted, &HostPath) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let files = self.files(namespace);
        if *namespace == Namespace::Host && is_kernel_only(path) {
            return look(&files, path);
        }
        let asked = path.clone();
        self.in_time(namespace, path, "", move || look(&files, &asked))?
    }

    /// Makes a look at a path within the deadline; not at all on a mount that does not answer. `of` tells looks at one path
    /// apart that may hang for reasons of their own.
    fn in_time<T: Send + 'static>(
        &self,
        namespace: &Namespace,
        path: &HostPath,
        of: &str,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Trouble> {
        let table = || {
            let path = match namespace {
                Namespace::Host if self.sees_own_root() => "/proc/self/mountinfo".to_owned(),
                Namespace::Host => "/proc/1/mountinfo".to_owned(),
                Namespace::Process(pid) => format!("/proc/{pid}/mountinfo"),
            };
            Rooted::new(&self.root).read(&path.into(), MOUNTINFO).ok()
        };
        if let Some(trouble) = stuck_mounts::refuse(path, table) {
            return Err(trouble);
        }
        let what = match namespace {
            Namespace::Host => format!("{of}{path}"),
            Namespace::Process(pid) => format!("{of}{path}, as process {pid} sees it"),
        };
        let answer = deadline::run(deadline::PER_ASSET, &what, look);
        if answer.as_ref().is_err_and(|trouble| trouble.reason == Reason::Timeout) {
            let files = self.files(namespace);
            stuck_mounts::suspect(path, table, |point| files.real(point));
        }
        answer
    }

    /// Opens the node of a device for reading, having made sure that it is that device's.
    ///
    /// Never exclusively, and without waiting: a reader that holds nothing cannot disturb.
    fn open_device(&self, device: &BlockDevice) -> std::io::Result<File> {
        let mut refused = std::io::Error::from(std::io::ErrorKind::NotFound);
        let mut nodes = vec![self.root.join("dev").join(&device.name)];
        nodes.push(self.root.join("dev/block").join(device.number.to_string()));
        if let Some(dm) = &device.dm {
            nodes.push(self.root.join("dev/mapper").join(&dm.name));
        }
        for node in nodes {
            let opened = std::fs::OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY)
                .open(&node)
                .and_then(|file| Ok((file.metadata()?.rdev(), file)));
            match opened {
                Ok((number, file)) if device_number(number) == device.number => return Ok(file),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Where a symbolic link leads; `None` when it leads nowhere.
    fn destination(
        &self,
        namespace: &Namespace,
        link: &HostPath,
    ) -> Option<Result<links::Destination, Trouble>> {
        let files = self.files(namespace);
        match self.resolved(namespace, link) {
            Ok(at) => {
                let is_directory = files
                    .metadata(&at.path, false)
                    .is_ok_and(|found| found.kind == FileKind::Directory);
                Some(Ok(links::Destination { at, is_directory }))
            }
            Err(trouble) if trouble.reason == Reason::NotFound => None,
            Err(trouble) => {
                let error = std::fs::metadata(files.real(link)).err();
                let is_loop = error.and_then(|error| error.raw_os_error()) == Some(libc::ELOOP);
                (!is_loop).then_some(Err(trouble))
            }
        }
    }

    fn resolved(&self, namespace: &Namespace, path: &HostPath) -> Result<Resolved, Trouble> {
        let files = self.files(namespace);
        let path = files.resolve(path)?;
        let real = files.real(&path);
        let metadata = files.metadata(&path, false)?;
        // Below another root the ids are those of this process's mounts, and the table is another's; the root of the first
        // process leads to its own mounts.
        let is_of_table = *namespace != Namespace::Host || self.is_this_machine;
        Ok(Resolved {
            mount_id: if is_of_table { mount_id(&real, Final::Itself) } else { None },
            block_device: metadata.block_device,
            fscrypt: fscrypt::policy(&real, metadata.kind, Final::Itself),
            path,
        })
    }
}

/// A mount table of 100,000 mounts is about 15 MiB.
const MOUNTINFO: usize = 64 * 1024 * 1024;

/// What the kernel answers by itself. What it says of a process may wait for that process.
fn is_kernel_only(path: &HostPath) -> bool {
    if path.components().any(|part| part == b"..") {
        return false;
    }
    let mut parts = path.components();
    match parts.next() {
        Some(b"sys") => true,
        Some(b"proc") => parts.next().is_none_or(|second| !second.iter().all(u8::is_ascii_digit)),
        Some(_) | None => false,
    }
}

/// The id of the mount that holds an open file, from `/proc/self/fdinfo` (`proc_pid_fdinfo(5)`).
fn mount_id(path: &Path, last: Final) -> Option<u64> {
    use std::os::fd::AsRawFd as _;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_CLOEXEC | last.open_flags())
        .open(path)
        .ok()?;
    let info = Rooted::new("/")
        .read(&HostPath::from(format!("/proc/self/fdinfo/{}", file.as_raw_fd())), 4096)
        .ok()?;
    mount_id_of(&String::from_utf8(info).ok()?)
}

/// What a link that the kernel keeps leads to.
fn followed(files: &Rooted, link: &HostPath) -> Result<Resolved, Trouble> {
    let path = files.read_link(link)?;
    let real = files.real(link);
    let metadata = std::fs::metadata(&real).map_err(|error| trouble(&error, link))?;
    let kind = if metadata.is_dir() { FileKind::Directory } else { FileKind::File };
    Ok(Resolved {
        mount_id: mount_id(&real, Final::Followed),
        fscrypt: fscrypt::policy(&real, kind, Final::Followed),
        ..Resolved::at(path)
    })
}

/// An extended attribute; `None` when there is none of that name, or the file system has none at all.
pub(super) fn extended_attribute(path: &Path, name: &str) -> std::io::Result<Option<Vec<u8>>> {
    /// An attribute value is at most this, `XATTR_SIZE_MAX`.
    const LARGEST: usize = 64 * 1024;
    let mut value = vec![0_u8; LARGEST];
    match rustix::fs::getxattr(path, name, value.as_mut_slice()) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

impl Host for LiveHost {
    fn read(&self, seen_by: &Namespace, path: &HostPath, limit: usize) -> Result<Vec<u8>, Trouble> {
        self.look(seen_by, path, move |files, path| files.read(path, limit))
    }

    fn read_start(
        &self,
        seen_by: &Namespace,
        path: &HostPath,
        length: usize,
    ) -> Result<Vec<u8>, Trouble> {
        self.look(seen_by, path, move |files, path| files.read_start(path, length))
    }

    fn read_start_unlinked(&self, path: &HostPath, length: usize) -> Result<Vec<u8>, Trouble> {
        self.look(&Namespace::Host, path, move |files, path| {
            files.read_start_unlinked(path, length)
        })
    }

    fn list(&self, seen_by: &Namespace, directory: &HostPath) -> Result<Vec<Vec<u8>>, Trouble> {
        self.look(seen_by, directory, Rooted::list)
    }

    fn read_link(&self, seen_by: &Namespace, path: &HostPath) -> Result<HostPath, Trouble> {
        self.look(seen_by, path, Rooted::read_link)
    }

    fn metadata(
        &self,
        seen_by: &Namespace,
        path: &HostPath,
        follow: bool,
    ) -> Result<Metadata, Trouble> {
        self.look(seen_by, path, move |files, path| files.metadata(path, follow))
    }

    fn attribute(
        &self,
        seen_by: &Namespace,
        path: &HostPath,
        name: &str,
    ) -> Result<Option<Vec<u8>>, Trouble> {
        let name = name.to_owned();
        self.look(seen_by, path, move |files, path| files.attribute(path, &name))
    }

    fn resolve(&self, seen_by: &Namespace, path: &HostPath) -> Resolution {
        let (host, namespace, wanted) = (self.clone(), seen_by.clone(), path.clone());
        let looked =
            self.in_time(seen_by, path, "", move || match host.resolved(&namespace, &wanted) {
                Ok(resolved) => Resolution { at: Observed::Known(resolved), nearest: None },
                Err(trouble) if trouble.reason == Reason::NotFound => {
                    let mut parent = wanted.normalised().parent();
                    while let Some(path) = parent {
                        if let Ok(resolved) = host.resolved(&namespace, &path) {
                            return Resolution { at: Observed::Absent, nearest: Some(resolved) };
                        }
                        parent = path.parent();
                    }
                    Resolution { at: Observed::Absent, nearest: None }
                }
                Err(trouble) => Resolution { at: Observed::Unreadable(trouble), nearest: None },
            });
        looked.unwrap_or_else(|trouble| Resolution {
            at: Observed::Unreadable(trouble),
            nearest: None,
        })
    }

    fn follow(&self, link: &HostPath) -> Result<Resolved, Trouble> {
        let (files, asked) = (self.files(&Namespace::Host), link.clone());
        self.in_time(&Namespace::Host, link, "", move || followed(&files, &asked))?
    }

    fn links(&self, seen_by: &Namespace, directory: &HostPath) -> Result<Links, Trouble> {
        let (host, namespace, top) = (self.clone(), seen_by.clone(), directory.clone());
        self.in_time(seen_by, directory, "the links below ", move || {
            let follow = |link: &HostPath| host.destination(&namespace, link);
            links::leaving(&host.files(&namespace), &top, &follow)
        })?
    }

    fn dm_table(&self, device: DeviceNumber, _name: &str) -> Observed<Vec<DmTarget>> {
        device_mapper::table(&self.root.join("dev/mapper/control"), device)
    }

    fn dm_dependencies(&self, device: DeviceNumber) -> Option<Vec<DeviceNumber>> {
        device_mapper::dependencies(&self.root.join("dev/mapper/control"), device)
    }

    fn loop_backing(&self, device: &BlockDevice) -> Option<LoopBacking> {
        // The kernel asks the file system of the image, which may not answer.
        let (host, of) = (self.clone(), device.clone());
        let status = deadline::run(deadline::PER_ASSET, &device.node(), move || {
            loop_device::status(&host.open_device(&of).ok()?)
        });
        let status = status.ok().flatten()?;
        let (files, file) =
            (self.files(&Namespace::Host), device.looped.as_ref()?.backing_file.clone());
        // The name may lead to a file system that does not answer.
        let now = deadline::run(deadline::PER_ASSET, &file.to_string(), move || {
            let real = files.real(&files.resolve(&file).ok()?);
            Some((
                std::fs::metadata(&real).ok()?,
                fscrypt::policy(&real, FileKind::File, Final::Itself),
            ))
        });
        let found = now.ok().flatten().filter(|(now, _)| {
            device_number(now.dev()) == status.device && now.ino() == status.inode
        });
        Some(LoopBacking {
            filesystem: status.device,
            block_device: status.block_device,
            name_holds: found.is_some(),
            fscrypt: found.and_then(|(_, policy)| policy),
        })
    }

    fn luks_header(&self, device: &BlockDevice) -> Observed<luks::Header> {
        let (host, device) = (self.clone(), device.clone());
        let what = format!("LUKS header of {}", device.node());
        let bytes = device.sectors.unwrap_or_default().saturating_mul(512);
        deadline::run(deadline::PER_ASSET, &what, move || {
            luks_reader::read(|| host.open_device(&device), bytes)
        })
        .unwrap_or_else(Observed::Unreadable)
    }

    fn read_device(
        &self,
        device: &BlockDevice,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, Trouble> {
        let (host, device) = (self.clone(), device.clone());
        let what = device.node();
        deadline::run(deadline::PER_ASSET, &what.clone(), move || {
            let file = host.open_device(&device).map_err(|error| trouble(&error, &what))?;
            let mut bytes = vec![0_u8; length];
            file.read_exact_at(&mut bytes, offset).map_err(|error| trouble(&error, &what))?;
            Ok(bytes)
        })?
    }

    fn zfs(&self) -> Observed<zfs::Facts> {
        if self.is_this_machine {
            zfs_tools::facts()
        } else {
            let detail = "ZFS can be asked only from the host's own root";
            Observed::Unreadable(Trouble::new(Reason::Unreadable, detail))
        }
    }

    fn services(&self) -> Observed<ServiceFacts> {
        Observed::Absent
    }

    fn sees_own_root(&self) -> bool {
        self.root == Path::new("/")
    }

    fn is_live(&self) -> bool {
        true
    }

    fn is_this_machine(&self) -> bool {
        self.is_this_machine
    }
}
