//! A recording of a host, replayed; or the root of one that is not running.
//!
//! Layout: `DIR/{proc,sys,etc,run,dev}` as on the host, `DIR/dmsetup-table.txt` in the format of
//! `dmsetup table`, and LUKS metadata in `DIR/luks/MAJOR:MINOR.json`. Such a directory can be made with `cp` and
//! `dmsetup` alone; what it does not hold is unknown, never assumed.

use std::path::Path;

use atrest_proto::model::Reason;

use super::rooted::Rooted;
use super::{FileKind, Host, Metadata, Resolution, read_text, record, zfs_tools};
use crate::path::HostPath;
use crate::snapshot::{
    BlockDevice, DeviceNumber, DmTarget, Fscrypt, LoopBacking, Namespace, Observed, Resolved,
    Trouble,
};
use crate::{dm_table, luks, mounts, zfs};

/// More than any host's tables need.
const LISTING: usize = 64 * 1024 * 1024;
/// Mount tables of tens of thousands of lines are a few MiB.
const MOUNTINFO: usize = 64 * 1024 * 1024;
const LUKS_JSON: usize = 4 * 1024 * 1024;
const UDEV_ENTRY: usize = 64 * 1024;

/// A directory that was recorded on a host.
#[derive(Debug)]
pub struct RecordedHost {
    files: Rooted,
    tables: Result<Vec<u8>, Trouble>,
    mount_points: Vec<HostPath>,
    policies: Vec<(HostPath, Fscrypt)>,
}

impl RecordedHost {
    /// Opens the recording in `root`.
    pub fn new(root: &Path) -> Self {
        let files = Rooted::new(root);
        let tables = files.read(&"/dmsetup-table.txt".into(), LISTING);
        let mount_points = ["/proc/self/mountinfo", "/proc/1/mountinfo"]
            .iter()
            .find_map(|path| files.read(&HostPath::from(*path), MOUNTINFO).ok())
            .and_then(|text| mounts::parse(&text).ok())
            .map(|table| table.into_iter().map(|mount| mount.mount_point).collect())
            .unwrap_or_default();
        let policies = files.read(&record::FSCRYPT.into(), LUKS_JSON).ok();
        let policies = policies.and_then(|json| serde_json::from_slice(&json).ok());
        Self { files, tables, mount_points, policies: policies.unwrap_or_default() }
    }

    /// A process of a recording has its files, if at all, under its own `root`.
    fn seen_by(&self, namespace: &Namespace, path: &HostPath) -> HostPath {
        match namespace {
            Namespace::Host => path.clone(),
            Namespace::Process(pid) => {
                let root = HostPath::from(format!("/proc/{pid}/root"));
                if self
                    .files
                    .metadata(&root, true)
                    .is_ok_and(|found| found.kind == FileKind::Directory)
                {
                    path.components().fold(root, |root, part| root.join(part))
                } else {
                    path.clone()
                }
            }
        }
    }

    /// The block device that a path in `/dev` stands for.
    fn device_at(&self, path: &HostPath) -> Option<DeviceNumber> {
        let resolved = self.files.resolve(path).unwrap_or_else(|_| path.normalised());
        let name = resolved.as_bytes().strip_prefix(b"/dev/")?.to_vec();
        let sysfs: Vec<u8> =
            name.iter().map(|byte| if *byte == b'/' { b'!' } else { *byte }).collect();
        let by_name = HostPath::from("/sys/class/block").join(&sysfs).join("dev");
        if let Ok(number) = read_text(self, &by_name) {
            return number.parse().ok();
        }
        let by_name = HostPath::from("/sys/block").join(&sysfs).join("dev");
        if let Ok(number) = read_text(self, &by_name) {
            return number.parse().ok();
        }
        if let Some(number) = self.by_link(&sysfs) {
            return Some(number);
        }
        if let Some(dm_name) = name.strip_prefix(b"mapper/") {
            return self.dm_named(&String::from_utf8_lossy(dm_name));
        }
        self.udev_link(&name).or_else(|| self.logical_volume(&name))
    }

    fn numbers(&self) -> Vec<DeviceNumber> {
        let names = self.files.list(&"/sys/dev/block".into()).unwrap_or_default();
        names.iter().filter_map(|name| String::from_utf8_lossy(name).parse().ok()).collect()
    }

    /// Of a recording without `/sys/class`: the links by number end in the kernel's name.
    fn by_link(&self, sysfs: &[u8]) -> Option<DeviceNumber> {
        self.numbers().into_iter().find(|number| {
            self.files
                .read_link(&format!("/sys/dev/block/{number}").into())
                .is_ok_and(|link| link.file_name() == Some(sysfs))
        })
    }

    fn dm_named(&self, name: &str) -> Option<DeviceNumber> {
        self.numbers().into_iter().find(|number| {
            read_text(self, &format!("/sys/dev/block/{number}/dm/name").into())
                .is_ok_and(|found| found == name)
        })
    }

    /// udev's database lists the links of each device as `S:` lines.
    fn udev_link(&self, name: &[u8]) -> Option<DeviceNumber> {
        self.numbers().into_iter().find(|number| {
            let entry = HostPath::from(format!("/run/udev/data/b{number}"));
            self.files.read(&entry, UDEV_ENTRY).is_ok_and(|text| {
                text.split(|byte| *byte == b'\n').any(|line| line.strip_prefix(b"S:") == Some(name))
            })
        })
    }

    /// LVM names its devices `VG-LV`, with `-` doubled inside either name.
    fn logical_volume(&self, name: &[u8]) -> Option<DeviceNumber> {
        let name = String::from_utf8_lossy(name);
        let (group, volume) = name.split_once('/')?;
        self.dm_named(&format!("{}-{}", group.replace('-', "--"), volume.replace('-', "--")))
    }

    /// Whether a path that is not in the recording may have been on the host all the same: recordings hold a
    /// few directories whole and nothing of what is mounted elsewhere.
    fn may_have_existed(&self, path: &HostPath, missing: &HostPath) -> bool {
        let parent_is_root = missing.parent() == Some(HostPath::root());
        let below_unrecorded_mount = self.mount_points.iter().any(|point| {
            *point != HostPath::root()
                && path.is_at_or_below(point)
                && point.is_at_or_below(missing)
        });
        parent_is_root || below_unrecorded_mount
    }

    fn found(&self, path: HostPath, block_device: Option<DeviceNumber>) -> Resolution {
        let fscrypt = self.policies.iter().find(|(of, _)| *of == path).map(|(_, policy)| *policy);
        let resolved = Resolved { path, mount_id: None, block_device, fscrypt };
        Resolution { at: Observed::Known(resolved), nearest: None }
    }

    /// The first component of `path` that the recording lacks.
    fn first_missing(&self, path: &HostPath) -> Option<HostPath> {
        let mut at = HostPath::root();
        for part in path.components() {
            at = at.join(part);
            if self.files.metadata(&at, false).is_err() {
                return Some(at);
            }
        }
        None
    }
}

impl Host for RecordedHost {
    fn read(&self, seen_by: &Namespace, path: &HostPath, limit: usize) -> Result<Vec<u8>, Trouble> {
        self.files.read(&self.seen_by(seen_by, path), limit)
    }

    fn read_start(
        &self,
        seen_by: &Namespace,
        path: &HostPath,
        length: usize,
    ) -> Result<Vec<u8>, Trouble> {
        self.files.read_start(&self.seen_by(seen_by, path), length)
    }

    fn list(&self, seen_by: &Namespace, directory: &HostPath) -> Result<Vec<Vec<u8>>, Trouble> {
        self.files.list(&self.seen_by(seen_by, directory))
    }

    fn read_link(&self, seen_by: &Namespace, path: &HostPath) -> Result<HostPath, Trouble> {
        self.files.read_link(&self.seen_by(seen_by, path))
    }

    fn metadata(
        &self,
        seen_by: &Namespace,
        path: &HostPath,
        follow: bool,
    ) -> Result<Metadata, Trouble> {
        self.files.metadata(&self.seen_by(seen_by, path), follow)
    }

    fn attribute(
        &self,
        seen_by: &Namespace,
        path: &HostPath,
        name: &str,
    ) -> Result<Option<Vec<u8>>, Trouble> {
        self.files.attribute(&self.seen_by(seen_by, path), name)
    }

    fn resolve(&self, seen_by: &Namespace, path: &HostPath) -> Resolution {
        let path = &path.normalised();
        if *seen_by == Namespace::Host && path.is_at_or_below(&"/dev".into()) {
            if let Some(device) = self.device_at(path) {
                return self.found(path.clone(), Some(device));
            }
            let is_directory =
                self.files.metadata(path, true).map(|at| at.kind == FileKind::Directory);
            let is_mount_point = self.mount_points.contains(path);
            if !is_directory.unwrap_or(false) && !is_mount_point {
                // A device node that the recording does not know must not pass for a file in memory.
                return Resolution { at: Observed::Absent, nearest: None };
            }
        }
        let inside = self.seen_by(seen_by, path);
        let root = self.seen_by(seen_by, &HostPath::root());
        match self.files.resolve(&inside) {
            Ok(resolved) => {
                let seen = if root == HostPath::root() {
                    resolved
                } else {
                    resolved.as_bytes().strip_prefix(root.as_bytes()).map_or_else(
                        || path.normalised(),
                        |rest| HostPath::root().join(rest).normalised(),
                    )
                };
                self.found(seen, None)
            }
            Err(trouble) if trouble.reason == Reason::NotFound => match self.first_missing(path) {
                Some(missing) if !self.may_have_existed(path, &missing) => Resolution {
                    at: Observed::Absent,
                    nearest: missing.parent().map(|path| Resolved {
                        path,
                        mount_id: None,
                        block_device: None,
                        fscrypt: None,
                    }),
                },
                Some(_) | None => self.found(path.clone(), None),
            },
            Err(trouble) => Resolution { at: Observed::Unreadable(trouble), nearest: None },
        }
    }

    fn dm_table(&self, _device: DeviceNumber, name: &str) -> Observed<Vec<DmTarget>> {
        match &self.tables {
            Ok(listing) => dm_table::parse_listing(listing, name).map_or_else(
                || {
                    Observed::Unreadable(Trouble::new(
                        Reason::Unreadable,
                        format!("dmsetup-table.txt holds no table for {name} that makes sense"),
                    ))
                },
                Observed::Known,
            ),
            Err(_) => Observed::Unreadable(Trouble::new(
                Reason::Unreadable,
                "the recording holds no dmsetup-table.txt",
            )),
        }
    }

    fn loop_backing(&self, device: &BlockDevice) -> Option<LoopBacking> {
        let path = HostPath::from(format!("/loop/{}.json", device.number));
        serde_json::from_slice(&self.files.read(&path, 4096).ok()?).ok()
    }

    fn luks_header(&self, device: &BlockDevice) -> Observed<luks::Header> {
        let path = HostPath::from(format!("/luks/{}.json", device.number));
        match self.files.read(&path, LUKS_JSON) {
            Ok(bytes) => match luks::from_json(&bytes) {
                Ok(header) => Observed::Known(header),
                Err(error) => Observed::Unreadable(Trouble::new(
                    Reason::Unreadable,
                    format!("{path}: {error}"),
                )),
            },
            Err(trouble) => Observed::Unreadable(Trouble::new(
                Reason::Unreadable,
                format!("the recording holds no LUKS metadata: {}", trouble.detail),
            )),
        }
    }

    fn read_device(
        &self,
        device: &BlockDevice,
        _offset: u64,
        _length: usize,
    ) -> Result<Vec<u8>, Trouble> {
        Err(Trouble::new(
            Reason::Unreadable,
            format!("{}: a recording holds no contents of devices", device.node()),
        ))
    }

    fn zfs(&self) -> Observed<zfs::Facts> {
        let read = |path: &str| self.files.read(&path.into(), LISTING);
        match read("/zpool-list.txt").and_then(|pools| Ok((pools, read("/zfs-get.txt")?))) {
            Ok((pools, datasets)) => zfs_tools::parsed(&pools, &datasets),
            Err(trouble) => Observed::Unreadable(Trouble::new(
                Reason::Unreadable,
                format!("the recording holds no answer of ZFS: {}", trouble.detail),
            )),
        }
    }

    fn sees_own_root(&self) -> bool {
        false
    }

    fn is_live(&self) -> bool {
        false
    }
}
