//! A recording of a host, replayed; or the root of one that is not running.
//!
//! Layout: `DIR/{proc,sys,etc,run,dev}` as on the host, `DIR/dmsetup-table.txt` in the format of
//! `dmsetup table`, LUKS metadata in `DIR/luks/MAJOR:MINOR.json`, and in `DIR/boot-files.json` what is known of the files
//! that crypttab and its like name. Such a directory can be made with `cp` and `dmsetup` alone; what it does not hold is
//! unknown, never assumed.

mod kept_links;
mod nodes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use atrest_proto::model::Reason;

use super::rooted::Rooted;
use super::{FileKind, Host, Metadata, Resolution, mount_id_of, read_text, record, zfs_tools};
use crate::links::Links;
use crate::path::HostPath;
use crate::snapshot::{
    BlockDevice, DeviceNumber, DmTarget, LoopBacking, Namespace, Observed, Resolved, ServiceFacts,
    Trouble,
};
use crate::{dm_table, luks, mounts, zfs};
pub(super) use kept_links::LINKS;
use nodes::Nodes;

/// More than any host's tables need.
const LISTING: usize = 64 * 1024 * 1024;
/// Mount tables of tens of thousands of lines are a few MiB.
const MOUNTINFO: usize = 64 * 1024 * 1024;
const LUKS_JSON: usize = 4 * 1024 * 1024;

/// A directory that was recorded on a host.
#[derive(Debug)]
pub struct RecordedHost {
    root: PathBuf,
    files: Rooted,
    /// Sorted.
    mount_points: OnceLock<Vec<HostPath>>,
    /// What paths led to, where the recording says so. One that is damaged may hide where any path leads.
    resolved: Result<BTreeMap<HostPath, Resolved>, Trouble>,
    nodes: OnceLock<Nodes>,
    tables: OnceLock<Result<Tables, Trouble>>,
}

/// By the name of the device; `None` for one whose lines make no sense.
type Tables = BTreeMap<String, Option<Vec<DmTarget>>>;

impl RecordedHost {
    /// Opens the recording in `root`.
    pub fn new(root: &Path) -> Self {
        let files = Rooted::new(root);
        let resolved = resolved_paths(&files);
        Self {
            root: root.to_owned(),
            files,
            mount_points: OnceLock::new(),
            resolved,
            nodes: OnceLock::new(),
            tables: OnceLock::new(),
        }
    }

    /// A process of a recording has its files, if at all, under its own `root`.
    fn files_of(&self, namespace: &Namespace) -> Rooted {
        if let Namespace::Process(pid) = namespace {
            let root = format!("proc/{pid}/root");
            // A link there, as `cp` makes of it, leads out of the recording.
            let found = self.files.metadata(&format!("/{root}").into(), false);
            if found.is_ok_and(|found| found.kind == FileKind::Directory) {
                return Rooted::new(self.root.join(root));
            }
        }
        self.files.clone()
    }

    /// Whether something was mounted there.
    fn is_mount_point(&self, path: &HostPath) -> bool {
        let points = self.mount_points.get_or_init(|| {
            ["/proc/self/mountinfo", "/proc/1/mountinfo"]
                .iter()
                .find_map(|path| self.files.read(&HostPath::from(*path), MOUNTINFO).ok())
                .and_then(|text| mounts::parse(&text).ok())
                .map(|table| {
                    let mut points: Vec<HostPath> =
                        table.into_iter().map(|mount| mount.mount_point).collect();
                    points.sort_unstable();
                    points.dedup();
                    // They were collected where the mounts were.
                    points.shrink_to_fit();
                    points
                })
                .unwrap_or_default()
        });
        points.binary_search(path).is_ok()
    }

    fn nodes(&self) -> &Nodes {
        self.nodes.get_or_init(|| Nodes::read(&self.files))
    }

    fn tables(&self) -> &Result<Tables, Trouble> {
        self.tables.get_or_init(|| {
            let listing = self.files.read(&"/dmsetup-table.txt".into(), LISTING)?;
            Ok(dm_table::parse_listing(&listing, &self.nodes().mapper_names()))
        })
    }

    /// Whether a path that is not in the recording may have been on the host all the same: recordings hold a
    /// few directories whole and nothing of what is mounted elsewhere.
    fn may_have_existed(&self, path: &HostPath, missing: &HostPath) -> bool {
        let has_unrecorded_mount = || {
            std::iter::successors(Some(path.clone()), HostPath::parent)
                .take_while(|point| *point != HostPath::root() && point.is_at_or_below(missing))
                .any(|point| self.is_mount_point(&point))
        };
        missing.parent() == Some(HostPath::root()) || has_unrecorded_mount()
    }

    /// What a path in `/dev` led to. A device node that the recording does not know must not pass for a file in memory.
    fn resolve_node(&self, path: HostPath, is_there: bool) -> Resolution {
        match self.nodes().device(&path) {
            Ok(Some(device)) => found(path, Some(device)),
            Ok(None) => {
                let is_directory = is_there
                    && self
                        .files
                        .metadata(&path, true)
                        .is_ok_and(|at| at.kind == FileKind::Directory);
                if is_directory || self.is_mount_point(&path) {
                    found(path, None)
                } else {
                    Resolution { at: Observed::Absent, nearest: None }
                }
            }
            Err(trouble) => Resolution { at: Observed::Unreadable(trouble), nearest: None },
        }
    }
}

/// What the recording says that paths led to; nothing when it says nothing of it.
fn resolved_paths(files: &Rooted) -> Result<BTreeMap<HostPath, Resolved>, Trouble> {
    let path = HostPath::from(record::RESOLVED);
    let json = match files.read(&path, LISTING) {
        Ok(json) => json,
        Err(trouble) if trouble.reason == Reason::NotFound => return Ok(BTreeMap::new()),
        Err(trouble) => return Err(trouble),
    };
    let damaged = |why: &dyn std::fmt::Display| {
        Trouble::new(Reason::Unreadable, format!("{path}: {why}: make the recording again"))
    };
    let pairs: Vec<(HostPath, Resolved)> =
        serde_json::from_slice(&json).map_err(|error| damaged(&error))?;
    let is_whole = |resolved: &Resolved| {
        resolved.path.is_absolute() && resolved.path.components().all(|part| part != b"..")
    };
    if pairs.iter().all(|(_, resolved)| is_whole(resolved)) {
        Ok(pairs.into_iter().collect())
    } else {
        Err(damaged(&"a path that is not resolved"))
    }
}

/// Mount tables of a hundred containers, and what was found in each.
const SERVICES: usize = 256 << 20;

fn found(path: HostPath, block_device: Option<DeviceNumber>) -> Resolution {
    let resolved = Resolved { block_device, ..Resolved::at(path) };
    Resolution { at: Observed::Known(resolved), nearest: None }
}

impl Host for RecordedHost {
    fn read(&self, seen_by: &Namespace, path: &HostPath, limit: usize) -> Result<Vec<u8>, Trouble> {
        self.files_of(seen_by).read(path, limit)
    }

    fn read_start(
        &self,
        seen_by: &Namespace,
        path: &HostPath,
        length: usize,
    ) -> Result<Vec<u8>, Trouble> {
        self.files_of(seen_by).read_start(path, length)
    }

    fn read_start_unlinked(&self, path: &HostPath, length: usize) -> Result<Vec<u8>, Trouble> {
        self.files.read_start_unlinked(path, length)
    }

    fn list(&self, seen_by: &Namespace, directory: &HostPath) -> Result<Vec<Vec<u8>>, Trouble> {
        self.files_of(seen_by).list(directory)
    }

    fn read_link(&self, seen_by: &Namespace, path: &HostPath) -> Result<HostPath, Trouble> {
        self.files_of(seen_by).read_link(path)
    }

    fn metadata(
        &self,
        seen_by: &Namespace,
        path: &HostPath,
        follow: bool,
    ) -> Result<Metadata, Trouble> {
        self.files_of(seen_by).metadata(path, follow)
    }

    fn attribute(
        &self,
        seen_by: &Namespace,
        path: &HostPath,
        name: &str,
    ) -> Result<Option<Vec<u8>>, Trouble> {
        self.files_of(seen_by).attribute(path, name)
    }

    fn resolve(&self, seen_by: &Namespace, path: &HostPath) -> Resolution {
        let path = &path.normalised();
        match &self.resolved {
            Ok(resolved) if *seen_by == Namespace::Host => {
                if let Some(resolved) = resolved.get(path) {
                    return Resolution { at: Observed::Known(resolved.clone()), nearest: None };
                }
            }
            Ok(_) => {}
            Err(trouble) => {
                return Resolution { at: Observed::Unreadable(trouble.clone()), nearest: None };
            }
        }
        let reached = match self.files_of(seen_by).reach(path, true) {
            Ok(reached) => reached,
            Err(trouble) => {
                return Resolution { at: Observed::Unreadable(trouble), nearest: None };
            }
        };
        let wanted = reached.missing.iter().fold(reached.at.clone(), |at, part| at.join(part));
        let is_there = reached.missing.is_empty();
        if *seen_by == Namespace::Host && wanted.is_at_or_below(&"/dev".into()) {
            return self.resolve_node(wanted, is_there);
        }
        let Some(first) = reached.missing.first() else { return found(wanted, None) };
        if reached.missing.iter().any(|part| part == b"..") {
            let detail = format!("{path}: the recording does not hold a directory on the way");
            let trouble = Trouble::new(Reason::Unreadable, detail);
            return Resolution { at: Observed::Unreadable(trouble), nearest: None };
        }
        if self.may_have_existed(&wanted, &reached.at.join(first)) {
            return found(wanted, None);
        }
        let nearest = Resolved::at(reached.at);
        Resolution { at: Observed::Absent, nearest: Some(nearest) }
    }

    fn follow(&self, link: &HostPath) -> Result<Resolved, Trouble> {
        let at = Resolved::at(self.files.read_link(link)?);
        // Of what is open, the mount is kept beside.
        let directory = link.parent().filter(|directory| directory.file_name() == Some(b"fd"));
        let info = directory
            .and_then(|directory| Some(directory.parent()?.join("fdinfo").join(link.file_name()?)))
            .and_then(|info| read_text(self, &info).ok());
        Ok(Resolved { mount_id: info.as_deref().and_then(mount_id_of), ..at })
    }

    fn dm_table(&self, _device: DeviceNumber, name: &str) -> Observed<Vec<DmTarget>> {
        match self.tables() {
            Ok(tables) => tables.get(name).cloned().flatten().map_or_else(
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

    fn links(&self, seen_by: &Namespace, directory: &HostPath) -> Result<Links, Trouble> {
        self.links_below(seen_by, directory)
    }

    fn dm_dependencies(&self, device: DeviceNumber) -> Option<Vec<DeviceNumber>> {
        let path = record::dependencies_of(device);
        serde_json::from_slice(&self.files.read(&path, LUKS_JSON).ok()?).ok()
    }

    fn loop_backing(&self, device: &BlockDevice) -> Option<LoopBacking> {
        let path = HostPath::from(format!("/loop/{}.json", device.number));
        let damaged = LoopBacking {
            filesystem: DeviceNumber::default(),
            block_device: None,
            name_holds: false,
            fscrypt: None,
        };
        match self.files.read(&path, 4096) {
            Ok(json) => Some(serde_json::from_slice(&json).unwrap_or(damaged)),
            Err(trouble) if trouble.reason == Reason::NotFound => None,
            Err(_) => Some(damaged),
        }
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

    fn services(&self) -> Observed<ServiceFacts> {
        let path = HostPath::from(record::SERVICES);
        let json = match self.files.read(&path, SERVICES) {
            Ok(json) => json,
            Err(trouble) if trouble.reason == Reason::NotFound => return Observed::Absent,
            Err(trouble) => return Observed::Unreadable(trouble),
        };
        serde_json::from_slice(&json).map_or_else(
            |error| {
                let detail = format!("{path}: {error}: make the recording again");
                Observed::Unreadable(Trouble::new(Reason::Unreadable, detail))
            },
            Observed::Known,
        )
    }

    fn sees_own_root(&self) -> bool {
        false
    }

    fn is_live(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn recording() -> (tempfile::TempDir, RecordedHost) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("proc/self")).unwrap();
        std::fs::create_dir_all(root.join("proc/7/root/srv")).unwrap();
        std::fs::create_dir_all(root.join("sys/dev/block")).unwrap();
        std::fs::create_dir_all(root.join("data")).unwrap();
        symlink("../../devices/x/sda1", root.join("sys/dev/block/8:1")).unwrap();
        symlink("/plain/es", root.join("data/es")).unwrap();
        symlink("/dev/sda1", root.join("data/disk")).unwrap();
        symlink("/srv/inside", root.join("proc/7/root/es")).unwrap();
        std::fs::write(
            root.join("proc/self/mountinfo"),
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /home rw - ext4 /dev/sda2 rw\n",
        )
        .unwrap();
        let host = RecordedHost::new(root);
        (directory, host)
    }

    fn leads_to(host: &RecordedHost, path: &str) -> Option<HostPath> {
        host.resolve(&Namespace::Host, &path.into()).at.known().map(|found| found.path.clone())
    }

    #[test]
    fn a_link_leads_to_where_it_points_recorded_or_not() {
        let (_directory, host) = recording();
        assert_eq!(leads_to(&host, "/data/es/nodes"), Some("/plain/es/nodes".into()));
        let disk = host.resolve(&Namespace::Host, &"/data/disk".into()).at;
        assert_eq!(disk.known().unwrap().block_device, Some(DeviceNumber::new(8, 1)));
        let inside = host.resolve(&Namespace::Process(7), &"/es/x".into());
        assert_eq!(inside.nearest.unwrap().path, "/srv".into());
    }

    #[test]
    fn a_damaged_account_of_paths_leaves_all_of_them_undecided() {
        let whole = r#"[["/data",{"path":"/plain/es","mount_id":null,"block_device":null,"fscrypt":null}]]"#;
        let (directory, _host) = recording();
        let file = directory.path().join("resolved.json");
        std::fs::write(&file, whole).unwrap();
        let host = RecordedHost::new(directory.path());
        assert_eq!(leads_to(&host, "/data"), Some("/plain/es".into()));
        let cut = whole.strip_suffix("}]]").unwrap().to_owned();
        for damaged in [cut, whole.replace("/plain/es", "/../outside")] {
            std::fs::write(&file, &damaged).unwrap();
            let host = RecordedHost::new(directory.path());
            let at = host.resolve(&Namespace::Host, &"/data".into()).at;
            assert_eq!(at.trouble().unwrap().reason, Reason::Unreadable, "{damaged}");
        }
    }

    #[test]
    fn a_root_of_a_process_that_is_a_link_does_not_lead_out() {
        let (directory, host) = recording();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        std::fs::create_dir_all(directory.path().join("proc/8")).unwrap();
        symlink(outside.path(), directory.path().join("proc/8/root")).unwrap();
        let read = host.read(&Namespace::Process(8), &"/secret".into(), 10);
        assert_eq!(read.unwrap_err().reason, Reason::NotFound);
    }

    #[test]
    fn the_parent_of_what_is_not_recorded_is_not_guessed() {
        let (_directory, host) = recording();
        let at = host.resolve(&Namespace::Host, &"/home/../plain".into()).at;
        assert_eq!(at.trouble().unwrap().reason, Reason::Unreadable);
        assert_eq!(leads_to(&host, "/data/../home"), Some("/home".into()));
    }

    #[test]
    fn what_is_not_recorded_may_have_been_there_below_a_mount_point_only() {
        let (_directory, host) = recording();
        assert_eq!(leads_to(&host, "/home/es"), Some("/home/es".into()));
        assert_eq!(leads_to(&host, "/elsewhere/es"), Some("/elsewhere/es".into()));
        let absent = host.resolve(&Namespace::Host, &"/data/gone/x".into());
        assert_eq!(absent.at, Observed::Absent);
        assert_eq!(absent.nearest.unwrap().path, "/data".into());
    }
}
