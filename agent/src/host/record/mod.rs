//! Writes a recording of this host that [`super::recorded::RecordedHost`] can replay.
//!
//! Redacted by construction: only the files that are named here are taken, and tables, headers and mounts go through the
//! same typed facts as everything else, in which keys and passwords have no place.

#[cfg(test)]
mod boot_tests;
#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod service_tests;

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use atrest_proto::model::Reason;
use thiserror::Error;

use super::filesystem_facts::f2fs;
use super::recorded::LINKS;
use super::{
    Host, Resolution, block_devices, boot_files, core_dumps, filesystem_facts, hibernation, links,
    names,
};
use crate::boot::cmdline;
use crate::core_dumps::Sink;
use crate::discovery::{self, Declared};
use crate::path::HostPath;
use crate::snapshot::{BlockDevice, DeviceNumber, Mount, Namespace, Observed, Resolved};
use crate::{crypttab, dm_table, fstab, mounts, observe};

/// Small files that are taken whole. None of them holds a secret.
const WHOLE: &[&str] = &[
    "/proc/swaps",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/random/boot_id",
    "/etc/os-release",
    "/proc/sys/kernel/core_pattern",
    "/sys/power/state",
    "/sys/power/disk",
    "/sys/power/resume",
    "/sys/kernel/kexec_crash_loaded",
];
/// What is taken of each block device's directory.
const ATTRIBUTES: &[&str] = &[
    "dev",
    "size",
    "ro",
    "removable",
    "partition",
    "backing_dev",
    "dm/name",
    "dm/uuid",
    "dm/suspended",
    "md/level",
    "md/metadata_version",
    "md/raid_disks",
    "loop/backing_file",
];
/// Where a recording keeps what the live table of a device stands on, when that is not what sysfs says.
pub(super) fn dependencies_of(device: DeviceNumber) -> HostPath {
    format!("/dm/{device}.json").into()
}

/// What paths led to, as a list of pairs: links and fscrypt policies are not in a recording.
pub(super) const RESOLVED: &str = "/resolved.json";
/// What was observed of services, in place of their files and processes, which hold secrets.
pub(super) const SERVICES: &str = "/services.json";
const LARGEST: usize = 64 * 1024 * 1024;

/// Why a recording could not be written.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error("{}: exists and is not empty: name a new directory", .0.display())]
    NotEmpty(PathBuf),
    #[error("{}: cannot be written", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

/// Records `host` into `directory`; returns how many files were written.
pub fn record(
    host: &dyn Host,
    declared: &Declared,
    directory: &Path,
) -> Result<usize, RecordError> {
    let writer = Writer::new(directory)?;
    // Half a recording would be judged as a whole one.
    write(host, declared, writer).inspect_err(|_| drop(std::fs::remove_dir_all(directory)))
}

fn write(
    host: &dyn Host,
    declared: &Declared,
    mut writer: Writer<'_>,
) -> Result<usize, RecordError> {
    for path in WHOLE {
        writer.copy(host, &HostPath::from(*path))?;
    }
    let (devices, _gaps) = block_devices::observe(host);
    let mut listing = String::new();
    for device in devices.values() {
        writer.device(host, device)?;
        if let Some(dm) = &device.dm
            && let Observed::Known(table) = &dm.table
        {
            listing.push_str(&dm_table::format_listing(&dm.name, table));
            if let Some(devices) = &dm.dependencies {
                let json = serde_json::to_vec(devices).unwrap_or_default();
                writer.file(&dependencies_of(device.number), &json)?;
            }
        }
        if let Some(backing) = device.looped.as_ref().and_then(|looped| looped.backing) {
            let json = serde_json::to_vec(&backing).unwrap_or_default();
            writer.file(&format!("/loop/{}.json", device.number).into(), &json)?;
        }
    }
    writer.file(&"/dmsetup-table.txt".into(), listing.as_bytes())?;
    for (number, header) in observe::luks_headers(host, &devices, None) {
        if let Observed::Known(header) = header {
            let json = serde_json::to_vec_pretty(&header).unwrap_or_default();
            writer.file(&format!("/luks/{number}.json").into(), &json)?;
        }
    }
    writer.btrfs(host)?;
    writer.bcachefs(host)?;
    let mounts = writer.mounts(host)?;
    writer.f2fs(host, &devices, &mounts)?;
    writer.zfs(host, &mounts)?;
    writer.journals(host)?;
    writer.boot(host, &devices)?;
    writer.declared(host, declared)?;
    writer.memory_sinks(host)?;
    writer.places(host, declared)?;
    Ok(writer.written)
}

/// Whether a line of udev's database is a link of `/dev/disk/by-id` with a serial number: those of device-mapper and md
/// are made of names and UUIDs.
fn names_a_drive(line: &[u8]) -> bool {
    line.strip_prefix(b"S:disk/by-id/")
        .is_some_and(|name| ![&b"dm-"[..], b"md-", b"lvm-"].iter().any(|own| name.starts_with(own)))
}

struct Writer<'a> {
    root: &'a Path,
    written: usize,
}

impl<'a> Writer<'a> {
    fn new(root: &'a Path) -> Result<Self, RecordError> {
        if let Ok(mut entries) = std::fs::read_dir(root)
            && entries.next().is_some()
        {
            return Err(RecordError::NotEmpty(root.to_owned()));
        }
        Self::directory(root)?;
        Ok(Self { root, written: 0 })
    }

    /// Names of devices, mounts and hosts are nobody else's business: 0700.
    fn directory(path: &Path) -> Result<(), RecordError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|source| RecordError::Write { path: path.to_owned(), source })
    }

    fn place(&self, path: &HostPath) -> Result<PathBuf, RecordError> {
        let mut real = self.root.to_owned();
        for part in path.components() {
            real.push(HostPath::new(part.to_vec()).as_path());
        }
        if let Some(parent) = real.parent() {
            Self::directory(parent)?;
        }
        Ok(real)
    }

    fn file(&mut self, path: &HostPath, bytes: &[u8]) -> Result<(), RecordError> {
        let real = self.place(path)?;
        let written = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&real)
            .and_then(|mut file| file.write_all(bytes));
        written.map_err(|source| RecordError::Write { path: real, source })?;
        self.written += 1;
        Ok(())
    }

    fn link(&mut self, path: &HostPath, target: &HostPath) -> Result<(), RecordError> {
        let real = self.place(path)?;
        match std::os::unix::fs::symlink(target.as_path(), &real) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(source) => Err(RecordError::Write { path: real, source }),
            Ok(()) => {
                self.written += 1;
                Ok(())
            }
        }
    }

    /// Copies a file; what cannot be read is left out, and so unknown to who replays.
    fn copy(&mut self, host: &dyn Host, path: &HostPath) -> Result<(), RecordError> {
        match host.read(&Namespace::Host, path, LARGEST) {
            Ok(bytes) => self.file(path, &bytes),
            Err(_) => Ok(()),
        }
    }

    fn device(&mut self, host: &dyn Host, device: &BlockDevice) -> Result<(), RecordError> {
        let by_number = HostPath::from(format!("/sys/dev/block/{}", device.number));
        let Ok(link) = host.read_link(&Namespace::Host, &by_number) else { return Ok(()) };
        self.link(&by_number, &link)?;
        // `../../devices/…` from `/sys/dev/block`.
        let below: Vec<&[u8]> = link.components().filter(|part| *part != b"..").collect();
        let directory = below.iter().fold(HostPath::from("/sys"), |path, part| path.join(part));
        let name = device.name.replace('/', "!");
        let up = HostPath::from("../..");
        let class = below.iter().fold(up, |path, part| path.join(part));
        self.link(&HostPath::from("/sys/class/block").join(&name), &class)?;
        let mut attributes: Vec<String> =
            ATTRIBUTES.iter().map(|name| (*name).to_owned()).collect();
        for member in host.list(&Namespace::Host, &directory.join("md")).unwrap_or_default() {
            let member = String::from_utf8_lossy(&member).into_owned();
            if member.starts_with("dev-") {
                attributes.extend(["state", "slot"].map(|what| format!("md/{member}/{what}")));
            }
        }
        for attribute in attributes {
            self.copy(host, &directory.join(&attribute))?;
        }
        self.bcache(host, &directory)?;
        for slave in host.list(&Namespace::Host, &directory.join("slaves")).unwrap_or_default() {
            self.file(&directory.join("slaves").join(&slave), b"")?;
        }
        self.copy(host, &format!("/sys/fs/ext4/{name}/journal_task").into())?;
        let udev = HostPath::from(format!("/run/udev/data/b{}", device.number));
        self.udev_links(host, &udev)
    }

    /// The mount table, with those options only that decide something. One that cannot be read is left out.
    fn mounts(&mut self, host: &dyn Host) -> Result<Vec<Mount>, RecordError> {
        let Observed::Known(table) = observe::mount_table(host, &Namespace::Host) else {
            return Ok(Vec::new());
        };
        self.file(&"/proc/self/mountinfo".into(), &mounts::format(&table))?;
        Ok(table)
    }

    /// Of udev's database the links only, and of those none that is made of a drive's serial number.
    fn udev_links(&mut self, host: &dyn Host, path: &HostPath) -> Result<(), RecordError> {
        let Ok(bytes) = host.read(&Namespace::Host, path, LARGEST) else { return Ok(()) };
        let links: Vec<u8> = bytes
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| line.starts_with(b"S:") && !names_a_drive(line))
            .flatten()
            .copied()
            .collect();
        self.file(path, &links)
    }

    /// Of a cache its mark, of a bcache device the devices of its cache set.
    fn bcache(&mut self, host: &dyn Host, directory: &HostPath) -> Result<(), RecordError> {
        let mark = HostPath::from("bcache/cache_replacement_policy");
        self.copy(host, &directory.join(mark.as_bytes()))?;
        let set = directory.join(b"bcache/cache");
        for name in host.list(&Namespace::Host, &set).unwrap_or_default() {
            let entry = set.join(&name);
            if name.starts_with(b"cache")
                && let Ok(link) = host.read_link(&Namespace::Host, &entry)
            {
                self.link(&entry, &link)?;
            }
        }
        Ok(())
    }

    fn bcachefs(&mut self, host: &dyn Host) -> Result<(), RecordError> {
        let pools = HostPath::from("/sys/fs/bcachefs");
        for uuid in host.list(&Namespace::Host, &pools).unwrap_or_default() {
            for name in host.list(&Namespace::Host, &pools.join(&uuid)).unwrap_or_default() {
                let entry = pools.join(&uuid).join(&name).join("block");
                if let Ok(link) = host.read_link(&Namespace::Host, &entry) {
                    self.link(&entry, &link)?;
                }
            }
        }
        Ok(())
    }

    fn zfs(&mut self, host: &dyn Host, mounts: &[Mount]) -> Result<(), RecordError> {
        if mounts.iter().any(|mount| mount.fstype == "zfs")
            && let Observed::Known(facts) = host.zfs()
        {
            let (pools, datasets) = crate::zfs::format(&facts);
            self.file(&"/zpool-list.txt".into(), &pools)?;
            self.file(&"/zfs-get.txt".into(), &datasets)?;
        }
        Ok(())
    }

    /// The names of the devices of every f2fs file system that is mounted.
    fn f2fs(
        &mut self,
        host: &dyn Host,
        devices: &BTreeMap<DeviceNumber, BlockDevice>,
        mounts: &[Mount],
    ) -> Result<(), RecordError> {
        for mount in mounts.iter().filter(|mount| mount.fstype == "f2fs") {
            let Some(device) = devices.get(&mount.device) else { continue };
            if let Some(names) = f2fs::names(host, device) {
                let json = serde_json::to_vec(&names).unwrap_or_default();
                self.file(&f2fs::recorded_as(device.number), &json)?;
            }
        }
        Ok(())
    }

    fn btrfs(&mut self, host: &dyn Host) -> Result<(), RecordError> {
        let pools = HostPath::from("/sys/fs/btrfs");
        for fsid in host.list(&Namespace::Host, &pools).unwrap_or_default() {
            let devices = pools.join(&fsid).join("devices");
            for device in host.list(&Namespace::Host, &devices).unwrap_or_default() {
                self.file(&devices.join(&device), b"")?;
            }
        }
        Ok(())
    }

    /// The names of running journals.
    fn journals(&mut self, host: &dyn Host) -> Result<(), RecordError> {
        let journals = HostPath::from("/proc/fs/jbd2");
        for journal in host.list(&Namespace::Host, &journals).unwrap_or_default() {
            self.file(&journals.join(&journal).join("info"), b"")?;
        }
        Ok(())
    }

    /// The tables of the boot as they were understood, and what is known of the files that they name. Passwords
    /// and keys have no place in either.
    fn boot(
        &mut self,
        host: &dyn Host,
        devices: &BTreeMap<DeviceNumber, BlockDevice>,
    ) -> Result<(), RecordError> {
        let table = observe::mount_table(host, &Namespace::Host);
        let boot = boot_files::observe(host, table.known().map(Vec::as_slice), devices);
        if let Observed::Known(table) = &boot.crypttab {
            self.file(&boot_files::CRYPTTAB.into(), &crypttab::format(table))?;
        }
        if let Observed::Known(table) = &boot.fstab {
            self.file(&boot_files::FSTAB.into(), &fstab::format(table))?;
        }
        let mut words = boot.cmdline.known().map(cmdline::format).unwrap_or_default();
        for word in hibernation::words(host) {
            if !words.split(u8::is_ascii_whitespace).any(|known| known == word.as_bytes()) {
                words.truncate(words.trim_ascii_end().len());
                words.extend(format!(" {word}\n").into_bytes());
            }
        }
        self.file(&boot_files::CMDLINE.into(), words.trim_ascii_start())?;
        let json = serde_json::to_vec_pretty(&boot.surroundings).unwrap_or_default();
        self.file(&boot_files::RECORDED.into(), &json)
    }

    /// The directories that were asked about, so that a replay can tell that they exist.
    fn declared(&mut self, host: &dyn Host, declared: &Declared) -> Result<(), RecordError> {
        let mut resolved = Vec::new();
        for path in &declared.paths {
            let found = host.resolve(&Namespace::Host, path);
            if let Observed::Known(at) = &found.at
                && at.fscrypt.is_some()
            {
                resolved.push((path.normalised(), at.clone()));
            }
            self.existing(path, &found)?;
        }
        self.resolved(host, resolved)
    }

    /// What the names led to that mounts and devices have for others.
    fn resolved(
        &mut self,
        host: &dyn Host,
        mut resolved: Vec<(HostPath, Resolved)>,
    ) -> Result<(), RecordError> {
        let (devices, _gaps) = block_devices::observe(host);
        let tables = [(Namespace::Host, observe::mount_table(host, &Namespace::Host))];
        let filesystems = filesystem_facts::observe(host, &tables, &devices);
        for ((_, name), found) in names::observe(host, &tables, &devices, &filesystems) {
            if let Observed::Known(found) = found {
                resolved.push((name.normalised(), found));
            }
        }
        if resolved.is_empty() {
            return Ok(());
        }
        resolved.sort_by(|a, b| a.0.cmp(&b.0));
        let json = serde_json::to_vec(&resolved).unwrap_or_default();
        self.file(&RESOLVED.into(), &json)
    }

    /// A directory that is there, or the one above it that is.
    fn existing(&mut self, path: &HostPath, found: &Resolution) -> Result<(), RecordError> {
        let path = path.normalised();
        match (&found.at, &found.nearest) {
            (Observed::Known(at), _) if at.block_device.is_none() => {
                let real = self.place(&at.path)?;
                Self::directory(&real)?;
                if at.path == path { Ok(()) } else { self.link(&path, &at.path) }
            }
            (Observed::Absent, Some(nearest)) if path.is_at_or_below(&nearest.path) => {
                let real = self.place(&nearest.path)?;
                Self::directory(&real)
            }
            (Observed::Known(_) | Observed::Absent | Observed::Unreadable(_), _) => Ok(()),
        }
    }

    /// Of files that say where memory is written to, the settings that say so.
    fn memory_sinks(&mut self, host: &dyn Host) -> Result<(), RecordError> {
        // A kernel that lacks these files can do neither; to who replays, a missing file tells nothing.
        for (path, nothing) in [("/sys/power/state", ""), ("/sys/kernel/kexec_crash_loaded", "0\n")]
        {
            let path = HostPath::from(path);
            let is_lacking = host.is_live()
                && host.list(&Namespace::Host, &"/sys/kernel".into()).is_ok()
                && host
                    .metadata(&Namespace::Host, &path, true)
                    .is_err_and(|trouble| trouble.reason == Reason::NotFound);
            if is_lacking {
                self.file(&path, nothing.as_bytes())?;
            }
        }
        for (path, text) in core_dumps::recorded(host) {
            self.file(&path, text.as_bytes())?;
        }
        Ok(())
    }

    /// What discovery looks for on the host itself: the directories of dumps, and the links below places.
    fn places(&mut self, host: &dyn Host, declared: &Declared) -> Result<(), RecordError> {
        let discovery = discovery::discover(host, declared);
        let dumps = discovery.core_dumps.iter();
        for sink in dumps.flat_map(|dumps| dumps.processes.iter().chain(&dumps.kernel)) {
            if let Sink::Place { target, .. } = sink
                && target.namespace == Namespace::Host
            {
                let (at, nearest) = (target.resolution.clone(), target.nearest.clone());
                self.existing(&target.path, &Resolution { at, nearest })?;
            }
        }
        let targets = observe::targets(host, &discovery);
        let walks = links::observe(host, &targets);
        self.file(&LINKS.into(), &serde_json::to_vec(&walks).unwrap_or_default())?;
        let facts = match host.services() {
            // A recording of a recording.
            Observed::Known(kept) => kept,
            Observed::Absent | Observed::Unreadable(_) if discovery.services.is_empty() => {
                return Ok(());
            }
            Observed::Absent | Observed::Unreadable(_) => {
                observe::recorded_services(host, &discovery, targets)
            }
        };
        self.file(&SERVICES.into(), &serde_json::to_vec_pretty(&facts).unwrap_or_default())
    }
}
