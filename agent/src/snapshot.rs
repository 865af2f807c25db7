//! Everything that was observed of a host at one time: plain data, ready to be judged.
//!
//! This is the cut between looking and judging. What could not be looked at is data too: a
//! [`Trouble`] stands where the fact would have been. Nothing here may hold key material.

use std::collections::BTreeMap;
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use atrest_proto::model::{Gap, Host, Reason, Service, Use};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::path::HostPath;

/// Why something could not be observed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Trouble {
    pub reason: Reason,
    /// What the system said.
    pub detail: String,
}

impl Trouble {
    /// A trouble with its reason.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

/// What came of looking at something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Observed<T> {
    Known(T),
    /// It was looked for and is not there.
    Absent,
    Unreadable(Trouble),
}

impl<T> Observed<T> {
    /// The fact, when it is known.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(fact) => Some(fact),
            Self::Absent | Self::Unreadable(_) => None,
        }
    }

    /// The trouble, when there was one.
    pub const fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Unreadable(trouble) => Some(trouble),
            Self::Absent | Self::Known(_) => None,
        }
    }
}

/// The number of a device, as `MAJOR:MINOR` in `/proc/self/mountinfo` and `/sys/dev/block`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DeviceNumber {
    pub major: u32,
    pub minor: u32,
}

impl DeviceNumber {
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Major 0 is for file systems without a device.
    pub const fn is_anonymous(self) -> bool {
        self.major == 0
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// Why a text is not a device number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceNumberError {
    #[error("a device number is MAJOR:MINOR")]
    Colon,
    #[error("a device number is two numbers")]
    Number(#[from] ParseIntError),
}

impl FromStr for DeviceNumber {
    type Err = DeviceNumberError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (major, minor) = text.split_once(':').ok_or(DeviceNumberError::Colon)?;
        Ok(Self { major: major.parse()?, minor: minor.parse()? })
    }
}

impl Serialize for DeviceNumber {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceNumber {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One line of a mountinfo file. See `proc_pid_mountinfo(5)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub id: u64,
    pub parent: u64,
    pub device: DeviceNumber,
    /// The directory of the file system that is mounted.
    pub root: HostPath,
    pub mount_point: HostPath,
    /// `TYPE` or `TYPE.SUBTYPE`.
    pub fstype: String,
    pub source: HostPath,
    /// Per-superblock options, as the kernel escapes them: those that decide something. Others may hold secrets.
    pub super_options: String,
}

/// Whose eyes a path is seen with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Namespace {
    /// The host's own, as process 1 or this agent sees it.
    Host,
    /// The mount namespace and root of a process.
    Process(i32),
}

/// The mounts of one namespace, in the kernel's order.
pub type MountTable = Observed<Vec<Mount>>;

/// One target line of a device-mapper table. See `dmsetup(8)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DmTarget {
    /// In sectors of 512 bytes.
    pub start: u64,
    /// In sectors of 512 bytes.
    pub length: u64,
    /// The target's name, such as `crypt`.
    pub kind: String,
    /// The target's arguments. A volume key is blanked to zeros of the same length where it is read.
    pub args: Vec<String>,
}

/// What device-mapper says of one of its devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DmFacts {
    pub name: String,
    /// Anyone who makes a device may choose it: never a proof.
    pub uuid: String,
    pub suspended: bool,
    pub table: Observed<Vec<DmTarget>>,
    /// The devices that the live table stands on, sorted; `None` where the kernel was not asked, or they are the slaves.
    pub dependencies: Option<Vec<DeviceNumber>>,
}

/// A member of an md array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MdMember {
    pub device: DeviceNumber,
    /// The comma-separated words of `md/dev-*/state`, such as `in_sync` or `spare`.
    pub state: String,
    /// The role in the array, from `md/dev-*/slot`: a number, `journal`, or `none` for a spare; empty when unknown.
    pub slot: String,
}

/// What md says of an array. See the kernel's `Documentation/admin-guide/md.rst`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MdFacts {
    /// `raid1`, `linear`, `container`, …
    pub level: String,
    pub members: Vec<MdMember>,
}

/// What a loop device stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopFacts {
    pub backing_file: HostPath,
    /// The file has no name any more.
    pub deleted: bool,
    /// What the kernel told of the file, when it could be asked.
    pub backing: Option<LoopBacking>,
}

/// The file below a loop device, from the kernel and not by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopBacking {
    /// The number that `stat(2)` gives to the file's file system. For btrfs it is not the one in mountinfo.
    pub filesystem: DeviceNumber,
    /// The file is itself a block device, and this is the device.
    pub block_device: Option<DeviceNumber>,
    /// What the name leads to now is that very file, by device and inode.
    pub name_holds: bool,
    /// The policy of that file, when its name leads to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fscrypt: Option<Fscrypt>,
}

/// A block device, as sysfs shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    pub number: DeviceNumber,
    /// The kernel's name, such as `sda1`, with `/` where sysfs writes `!`.
    pub name: String,
    /// In sectors of 512 bytes.
    pub sectors: Option<u64>,
    /// The whole disk that this is a partition of.
    pub partition_of: Option<DeviceNumber>,
    /// The devices directly below, from `slaves/`.
    pub slaves: Vec<DeviceNumber>,
    pub dm: Option<DmFacts>,
    pub md: Option<MdFacts>,
    pub looped: Option<LoopFacts>,
    /// For bcache: the devices below that are caches.
    pub caches: Vec<DeviceNumber>,
    /// No hardware is behind it: it lies below `/sys/devices/virtual`.
    pub is_virtual: bool,
    /// Who claims to encrypt it below this host: the provider of a cloud volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_by: Option<String>,
    /// For zram: the device that pages are written back to; empty when there is none.
    pub zram_backing: Option<HostPath>,
    /// The directory could not be read whole.
    pub trouble: Option<Trouble>,
}

impl BlockDevice {
    /// How an operator would type it: `/dev/mapper/NAME` for device-mapper, else `/dev/NAME`.
    pub fn node(&self) -> String {
        match &self.dm {
            Some(dm) if !dm.name.is_empty() => format!("/dev/mapper/{}", dm.name),
            Some(_) | None => format!("/dev/{}", self.name),
        }
    }
}

/// One line of `/proc/swaps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    pub path: HostPath,
    /// `partition` or `file`.
    pub kind: String,
    /// What the path was resolved to.
    pub resolution: Observed<Resolved>,
}

/// Where a path leads in its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Without symbolic links.
    pub path: HostPath,
    /// The id of the mount that holds it, when the kernel told it.
    pub mount_id: Option<u64>,
    /// It is a block device node, and this is the device.
    pub block_device: Option<DeviceNumber>,
    /// The file or directory is encrypted by its file system under this policy.
    pub fscrypt: Option<Fscrypt>,
}

impl Resolved {
    /// A file or directory.
    pub fn at(path: impl Into<HostPath>) -> Self {
        Self { path: path.into(), mount_id: None, block_device: None, fscrypt: None }
    }

    /// The node of a block device.
    pub fn node(path: impl Into<HostPath>, device: DeviceNumber) -> Self {
        Self { block_device: Some(device), ..Self::at(path) }
    }
}

/// The fscrypt policy of a file or directory. See the kernel's `Documentation/filesystems/fscrypt.rst`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fscrypt {
    /// 1 or 2; `None` when the kernel says that it is encrypted, and the policy could not be asked for.
    pub version: Option<u8>,
    /// `FSCRYPT_MODE_*` of file contents.
    pub contents_mode: u8,
    /// `FSCRYPT_MODE_*` of file names.
    pub names_mode: u8,
}

/// A path to be judged, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub path: HostPath,
    pub usage: Use,
    pub service: Option<String>,
    pub namespace: Namespace,
    pub resolution: Observed<Resolved>,
    /// When the path is absent: its nearest existing parent.
    pub nearest: Option<Resolved>,
}

/// What the file systems say of themselves beyond mountinfo, by device number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesystemFacts {
    /// All devices of a btrfs file system, by the number of each of them.
    pub btrfs: BTreeMap<DeviceNumber, Vec<DeviceNumber>>,
    /// The journal of an ext3 or ext4 file system.
    pub journals: BTreeMap<DeviceNumber, Observed<Journal>>,
    /// All devices of a bcachefs file system, by the number of each of its mounts.
    pub bcachefs: BTreeMap<DeviceNumber, Vec<DeviceNumber>>,
    /// The further devices of an f2fs file system, by the number of its first.
    pub f2fs: BTreeMap<DeviceNumber, Observed<Vec<DeviceNumber>>>,
    /// ZFS pools and datasets; absent when no ZFS is mounted.
    pub zfs: Option<Observed<crate::zfs::Facts>>,
    /// What other machines' agents say of the directories that are mounted from them.
    #[serde(default)]
    pub vouches: Vec<(crate::nfs::RemoteDirectory, crate::nfs::Vouch)>,
}

/// Where an ext3 or ext4 journal lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Journal {
    /// Inside the file system, or there is none.
    Inside,
    /// On another device: `s_journal_dev`, or unknown when only the UUID is recorded.
    External(Option<DeviceNumber>),
}

/// What was observed of the services of a host: what a recording keeps in place of their files and processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceFacts {
    pub services: Vec<Service>,
    pub targets: Vec<Target>,
    pub keystores: Vec<crate::keystore::Observation>,
    pub secrets: Vec<crate::secrets::Observation>,
    pub claims: Vec<crate::drift::Claim>,
    pub assumptions: Vec<crate::assumption::Assumption>,
    pub sights: Vec<crate::node_api::Sight>,
    pub memory: Vec<crate::memory::ServiceMemory>,
    pub repositories: Vec<crate::repository::Observation>,
    pub unlisted: Vec<crate::repository::Unlisted>,
    /// The mount tables of processes that have their own.
    pub mounts: Vec<(Namespace, MountTable)>,
    pub core_dumps: Option<crate::core_dumps::CoreDumps>,
    pub gaps: Vec<Gap>,
}

/// Everything that was observed of a host at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub observed_at: Timestamp,
    pub host: Host,
    /// By namespace, as pairs, so that it serialises to JSON.
    pub mounts: Vec<(Namespace, MountTable)>,
    pub devices: BTreeMap<DeviceNumber, BlockDevice>,
    pub filesystems: FilesystemFacts,
    pub swaps: Observed<Vec<Swap>>,
    /// What the names lead to that mounts and devices have for others: sorted.
    pub named: Vec<((Namespace, HostPath), Observed<Resolved>)>,
    pub targets: Vec<Target>,
    pub services: Vec<Service>,
    /// LUKS headers by the device that holds them.
    pub luks: BTreeMap<DeviceNumber, Observed<crate::luks::Header>>,
    pub boot: crate::boot::Boot,
    pub keystores: Vec<crate::keystore::Observation>,
    /// Sorted by place.
    #[serde(default)]
    pub secrets: Vec<crate::secrets::Observation>,
    pub repositories: Vec<crate::repository::Observation>,
    /// Services of which the repositories are not known.
    pub unlisted: Vec<crate::repository::Unlisted>,
    pub claims: Vec<crate::drift::Claim>,
    /// Which of the targets are there only because a setting is not known.
    #[serde(default)]
    pub assumptions: Vec<crate::assumption::Assumption>,
    /// Which APIs of running nodes were asked.
    pub sights: Vec<crate::node_api::Sight>,
    /// Of running services.
    pub memory: Vec<crate::memory::ServiceMemory>,
    pub hibernation: crate::hibernation::Hibernation,
    /// Not looked at when only named paths are asked about.
    pub core_dumps: Option<crate::core_dumps::CoreDumps>,
    pub links: Vec<crate::links::Walk>,
    pub gaps: Vec<Gap>,
}

impl Snapshot {
    /// A host on which nothing was found, and that has no swap: what a test fills in.
    #[cfg(test)]
    pub(crate) fn empty() -> Self {
        Self {
            observed_at: Timestamp::UNIX_EPOCH,
            host: Host::default(),
            mounts: Vec::new(),
            devices: BTreeMap::new(),
            filesystems: FilesystemFacts::default(),
            swaps: Observed::Known(Vec::new()),
            named: Vec::new(),
            targets: Vec::new(),
            services: Vec::new(),
            luks: BTreeMap::new(),
            keystores: Vec::new(),
            secrets: Vec::new(),
            repositories: Vec::new(),
            unlisted: Vec::new(),
            claims: Vec::new(),
            assumptions: Vec::new(),
            sights: Vec::new(),
            memory: Vec::new(),
            hibernation: crate::hibernation::Hibernation::default(),
            core_dumps: None,
            links: Vec::new(),
            boot: crate::boot::Boot::default(),
            gaps: Vec::new(),
        }
    }

    /// The mounts that `namespace` sees.
    pub fn mounts_of(&self, namespace: &Namespace) -> Option<&MountTable> {
        self.mounts.iter().find(|(of, _)| of == namespace).map(|(_, table)| table)
    }

    /// What a name that a mount or device has for another leads to; `None` when it was not looked up.
    pub fn named(&self, namespace: &Namespace, path: &HostPath) -> Option<&Observed<Resolved>> {
        let key = |((of, name), _): &((Namespace, HostPath), _)| (of, name).cmp(&(namespace, path));
        let at = self.named.binary_search_by(key).ok()?;
        self.named.get(at).map(|(_, resolved)| resolved)
    }
}
