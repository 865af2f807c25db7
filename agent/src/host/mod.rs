//! The one place that touches the machine.
//!
//! A host is a root that can be swapped: [`live::LiveHost`] is this machine, [`recorded::RecordedHost`]
//! replays a directory. Every method is read-only and bounded, and a failure is a [`Trouble`], not an error
//! that ends the scan.

pub mod block_devices;
pub mod boot_files;
pub mod core_dumps;
pub mod deadline;
pub mod device_mapper;
pub mod filesystem_facts;
mod fscrypt;
mod header_search;
pub mod hibernation;
pub mod identity;
pub mod links;
pub mod live;
pub mod loop_device;
pub mod luks_reader;
pub mod names;
pub mod record;
pub mod recorded;
mod rooted;
mod settings;
mod stuck_mounts;
pub mod way;
mod zfs_tools;

use atrest_proto::model::Reason;

use crate::links::Links;
use crate::path::HostPath;
use crate::snapshot::{
    BlockDevice, DeviceNumber, DmTarget, LoopBacking, Namespace, Observed, Resolved, ServiceFacts,
    Trouble,
};
use crate::{luks, zfs};

/// What becomes of a symbolic link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Final {
    /// It is looked at itself.
    Itself,
    /// What it leads to is looked at.
    Followed,
}

impl Final {
    /// For `open(2)`.
    const fn open_flags(self) -> i32 {
        match self {
            Self::Itself => libc::O_NOFOLLOW,
            Self::Followed => 0,
        }
    }
}

/// What `lstat(2)` or `stat(2)` says of a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Metadata {
    pub kind: FileKind,
    /// Permission bits with set-id and sticky, `0o7777`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// In bytes.
    pub size: u64,
    pub links: u64,
    /// The device node that this is, for block devices.
    pub block_device: Option<DeviceNumber>,
    /// Change time in seconds since 1970.
    pub changed_at: i64,
}

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    BlockDevice,
    Other,
}

/// Where a path leads, and for an absent one what it would rest on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    pub at: Observed<Resolved>,
    /// The nearest existing parent, when the path itself is absent.
    pub nearest: Option<Resolved>,
}

/// A machine, or a recording of one.
pub trait Host: Send + Sync {
    /// Reads a file; more than `limit` bytes is [`Reason::Unreadable`], a missing file [`Reason::NotFound`].
    fn read(&self, seen_by: &Namespace, path: &HostPath, limit: usize) -> Result<Vec<u8>, Trouble>;

    /// The first `length` bytes of a file, or all of a shorter one.
    fn read_start(
        &self,
        seen_by: &Namespace,
        path: &HostPath,
        length: usize,
    ) -> Result<Vec<u8>, Trouble>;

    /// The same of a regular file that no symbolic link leads to: for places where users may write.
    fn read_start_unlinked(&self, path: &HostPath, length: usize) -> Result<Vec<u8>, Trouble>;

    /// The names in a directory, sorted, without `.` and `..`.
    fn list(&self, seen_by: &Namespace, directory: &HostPath) -> Result<Vec<Vec<u8>>, Trouble>;

    /// What a symbolic link holds.
    fn read_link(&self, seen_by: &Namespace, path: &HostPath) -> Result<HostPath, Trouble>;

    /// Mode, owner, size. Follows a final symbolic link when `follow` is set.
    fn metadata(
        &self,
        seen_by: &Namespace,
        path: &HostPath,
        follow: bool,
    ) -> Result<Metadata, Trouble>;

    /// An extended attribute, such as `system.posix_acl_access`; `None` when the file has none of that name.
    fn attribute(
        &self,
        seen_by: &Namespace,
        path: &HostPath,
        name: &str,
    ) -> Result<Option<Vec<u8>>, Trouble>;

    /// Resolves symbolic links as a process in `seen_by` would.
    fn resolve(&self, seen_by: &Namespace, path: &HostPath) -> Resolution;

    /// What a link that the kernel keeps, such as `/proc/PID/fd/N` or `/proc/PID/cwd`, leads to: the file itself, on its own
    /// mount, wherever its name leads by now.
    fn follow(&self, link: &HostPath) -> Result<Resolved, Trouble>;

    /// The symbolic links below a directory that lead out of it; [`Reason::NotFound`] when it is no directory.
    fn links(&self, seen_by: &Namespace, directory: &HostPath) -> Result<Links, Trouble>;

    /// The live table of a device-mapper device, with volume keys blanked at the point of reading.
    fn dm_table(&self, device: DeviceNumber, name: &str) -> Observed<Vec<DmTarget>>;

    /// The devices that the live table of a device-mapper device stands on; `None` where only sysfs can be asked.
    fn dm_dependencies(&self, device: DeviceNumber) -> Option<Vec<DeviceNumber>>;

    /// What the kernel says of a loop device's backing file.
    fn loop_backing(&self, device: &BlockDevice) -> Option<LoopBacking>;

    /// The LUKS header at the start of a device, read from a private copy.
    fn luks_header(&self, device: &BlockDevice) -> Observed<luks::Header>;

    /// Bytes of a block device, read-only: superblocks, never key material.
    fn read_device(
        &self,
        device: &BlockDevice,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, Trouble>;

    /// The pools and datasets of ZFS.
    fn zfs(&self) -> Observed<zfs::Facts>;

    /// What a recording keeps of services; absent where they are found by their own files and processes.
    fn services(&self) -> Observed<ServiceFacts>;

    /// Whether this is the running machine: device nodes can be asked.
    fn is_live(&self) -> bool;

    /// Whether the host's root directory is this process's own.
    fn sees_own_root(&self) -> bool;

    /// Whether this process runs on the host itself, and not in a container that has the host's root somewhere: the tools
    /// that are here are the host's, and its loopback is where its nodes listen.
    fn is_this_machine(&self) -> bool {
        self.is_live() && self.sees_own_root()
    }
}

/// Reads a small text file and trims it; what sysfs attributes are.
pub fn read_text(host: &dyn Host, path: &HostPath) -> Result<String, Trouble> {
    /// A sysfs attribute is at most a page.
    const ATTRIBUTE: usize = 4096;
    let bytes = host.read(&Namespace::Host, path, ATTRIBUTE)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// `mnt_id` of `/proc/PID/fdinfo/N`, since Linux 3.15: `proc_pid_fdinfo(5)`.
pub(crate) fn mount_id_of(info: &str) -> Option<u64> {
    info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

/// The trouble that an I/O error stands for.
pub fn trouble(error: &std::io::Error, what: &dyn std::fmt::Display) -> Trouble {
    use std::io::ErrorKind;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the standard library's list is open")]
    let reason = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Reason::NotFound,
        ErrorKind::PermissionDenied => Reason::NoPermission,
        ErrorKind::TimedOut => Reason::Timeout,
        _ => Reason::Unreadable,
    };
    Trouble::new(reason, format!("{what}: {error}"))
}
