//! The walk that looks for symbolic links below watched paths. It follows none, stays on one file system, and is
//! bounded in depth, entries and time; what it leaves out it says.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use atrest_proto::model::{Reason, Use};

use super::rooted::Rooted;
use super::{Host, trouble};
use crate::links::{Link, Links, Uncovered, Walk, is_ignored};
use crate::path::HostPath;
use crate::snapshot::{DeviceNumber, Resolved, Target, Trouble};

/// How far a walk goes.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Levels of directories whose entries are looked at. Four reach the shards of Elasticsearch's data
    /// (`indices/UUID/SHARD/`), and not the segment files in them.
    depth: usize,
    entries: usize,
    /// Less than [`super::deadline::PER_ASSET`], so that a slow disk costs coverage and not the answer.
    time: Duration,
}

const LIMITS: Limits = Limits { depth: 4, entries: 10_000, time: Duration::from_secs(2) };

/// Where a link leads.
pub(super) struct Destination {
    pub(super) at: Resolved,
    pub(super) is_directory: bool,
}

/// Follows one link; `None` when it leads nowhere.
pub(super) type Follow<'a> = &'a dyn Fn(&HostPath) -> Option<Result<Destination, Trouble>>;

/// Walks below every target that the node writes to of its own accord, each directory once.
pub fn observe(host: &dyn Host, targets: &[Target]) -> Vec<Walk> {
    let places: BTreeSet<_> = targets
        .iter()
        .filter(|target| is_walked(target.usage))
        .filter_map(|target| Some((&target.namespace, target.resolution.known()?)))
        .filter(|(_, at)| at.block_device.is_none() && !is_ignored(&at.path))
        .map(|(namespace, at)| (namespace.clone(), at.path.clone()))
        .collect();
    places
        .into_iter()
        .filter_map(|(namespace, directory)| match host.links(&namespace, &directory) {
            // It is no directory, or a recording does not hold it.
            Err(trouble) if trouble.reason == Reason::NotFound => None,
            found => Some(Walk { namespace, directory, found }),
        })
        .collect()
}

fn is_walked(usage: Use) -> bool {
    match usage {
        Use::Data | Use::Logs | Use::Queue | Use::Config | Use::Repository | Use::Declared => true,
        Use::HeapDump | Use::CoreDump | Use::Temp | Use::Swap | Use::Cache | Use::Export => false,
    }
}

/// The links below `directory`, which holds no symbolic link itself, that lead out of it.
///
/// Nothing leads out of the root, whatever is mounted where: there is nothing to be looked for.
pub(super) fn leaving(
    files: &Rooted,
    directory: &HostPath,
    follow: Follow<'_>,
) -> Result<Links, Trouble> {
    if *directory == HostPath::root() {
        return Ok(Links::default());
    }
    walk(files, directory, &LIMITS, follow)
}

fn walk(
    files: &Rooted,
    directory: &HostPath,
    limits: &Limits,
    follow: Follow<'_>,
) -> Result<Links, Trouble> {
    let begun = Instant::now();
    let top = std::fs::symlink_metadata(files.real(directory))
        .map_err(|error| trouble(&error, directory))?;
    if !top.is_dir() {
        return Err(Trouble::new(Reason::NotFound, format!("{directory}: not a directory")));
    }
    let mut found = Found::default();
    let mut level = vec![directory.clone()];
    'walk: for _ in 0..limits.depth {
        let mut deeper = Vec::new();
        for place in level {
            if begun.elapsed() > limits.time {
                found.uncovered.insert(Uncovered::Time);
                break 'walk;
            }
            let room = limits.entries.saturating_sub(found.entries);
            match look(files, &place, top.dev(), room) {
                Ok(Look::Entries { seen, links, directories, is_cut }) => {
                    found.entries += seen;
                    deeper.extend(directories);
                    for link in links {
                        found.add(link, directory, follow);
                    }
                    if is_cut {
                        found.uncovered.insert(Uncovered::MoreEntries);
                        break 'walk;
                    }
                }
                Ok(Look::OtherMount) => {
                    found.uncovered.insert(Uncovered::OtherMounts);
                }
                // It has gone in the meantime.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) if place == *directory => return Err(trouble(&error, directory)),
                Err(_) => {
                    found.uncovered.insert(Uncovered::Unreadable);
                }
            }
        }
        level = deeper;
        if level.is_empty() {
            return Ok(found.links());
        }
    }
    if found.uncovered.is_disjoint(&[Uncovered::Time, Uncovered::MoreEntries].into()) {
        found.uncovered.insert(Uncovered::Deeper);
    }
    Ok(found.links())
}

enum Look {
    Entries { seen: usize, links: Vec<HostPath>, directories: Vec<HostPath>, is_cut: bool },
    OtherMount,
}

/// The links and directories in one directory, sorted. Kinds come with the names: nothing is asked about each.
fn look(files: &Rooted, place: &HostPath, device: u64, room: usize) -> std::io::Result<Look> {
    let real = files.real(place);
    let metadata = std::fs::symlink_metadata(&real)?;
    if !metadata.is_dir() {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    if metadata.dev() != device {
        return Ok(Look::OtherMount);
    }
    let (mut seen, mut is_cut) = (0, false);
    let (mut links, mut directories) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(real)? {
        if seen >= room {
            is_cut = true;
            break;
        }
        seen += 1;
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_symlink() || kind.is_dir() {
            let path = place.join(entry.file_name().as_encoded_bytes());
            if kind.is_symlink() { &mut links } else { &mut directories }.push(path);
        }
    }
    links.sort_unstable();
    directories.sort_unstable();
    Ok(Look::Entries { seen, links, directories, is_cut })
}

/// What tells one destination from another: its directory, and the mount or device that holds it.
type Key = (bool, Option<HostPath>, Option<u64>, Option<DeviceNumber>);

#[derive(Default)]
struct Found {
    leaving: BTreeMap<Key, Link>,
    entries: usize,
    uncovered: BTreeSet<Uncovered>,
}

impl Found {
    fn add(&mut self, path: HostPath, top: &HostPath, follow: Follow<'_>) {
        let (key, leads_to) = match follow(&path) {
            None => return,
            Some(Ok(Destination { at, .. }))
                if at.path.is_at_or_below(top) || is_ignored(&at.path) =>
            {
                return;
            }
            Some(Ok(Destination { at, is_directory })) => {
                let directory = if is_directory { Some(at.path.clone()) } else { at.path.parent() };
                ((true, directory, at.mount_id, at.block_device), Ok(at))
            }
            Some(Err(trouble)) => ((false, path.parent(), None, None), Err(trouble)),
        };
        self.leaving.entry(key).and_modify(|link| link.count += 1).or_insert(Link {
            path,
            leads_to,
            count: 1,
        });
    }

    fn links(self) -> Links {
        let mut leaving: Vec<Link> = self.leaving.into_values().collect();
        leaving.sort_by(|a, b| a.path.cmp(&b.path));
        Links { leaving, entries: self.entries, uncovered: self.uncovered }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::host::live::LiveHost;
    use crate::snapshot::Namespace;

    /// A data directory beside another place, with every kind of link.
    fn tree() -> tempfile::TempDir {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        std::fs::create_dir_all(root.join("data/indices/u/0/index/deep")).unwrap();
        std::fs::create_dir_all(root.join("plain/sub")).unwrap();
        std::fs::write(root.join("plain/file"), "").unwrap();
        std::fs::write(root.join("plain/other"), "").unwrap();
        scratch
    }

    fn links(root: &Path) -> Links {
        let data = std::fs::canonicalize(root.join("data")).unwrap();
        LiveHost::new("/").links(&Namespace::Host, &data.as_path().into()).unwrap()
    }

    fn leads(root: &Path, links: &Links) -> Vec<(String, String, usize)> {
        let root = HostPath::from(std::fs::canonicalize(root).unwrap());
        let cut = |path: &HostPath| {
            path.to_string().strip_prefix(&root.to_string()).unwrap_or("outside").to_owned()
        };
        let lead =
            |link: &Link| (cut(&link.path), cut(&link.leads_to.as_ref().unwrap().path), link.count);
        links.leaving.iter().map(lead).collect()
    }

    fn lead(from: &str, to: &str, count: usize) -> (String, String, usize) {
        (from.to_owned(), to.to_owned(), count)
    }

    #[test]
    fn absolute_and_relative_links_that_leave_are_found() {
        let scratch = tree();
        let root = scratch.path();
        symlink(root.join("plain/sub"), root.join("data/absolute")).unwrap();
        symlink("../../plain", root.join("data/indices/relative")).unwrap();
        let links = links(root);
        assert_eq!(
            leads(root, &links),
            [lead("/data/absolute", "/plain/sub", 1), lead("/data/indices/relative", "/plain", 1)]
        );
        let leads_to = links.leaving[0].leads_to.as_ref().unwrap();
        assert!(leads_to.mount_id.is_some(), "the mount is told by the kernel");
    }

    #[test]
    fn links_to_files_of_one_directory_are_one() {
        let scratch = tree();
        let root = scratch.path();
        symlink("../plain/file", root.join("data/a")).unwrap();
        symlink("../plain/other", root.join("data/b")).unwrap();
        symlink("../plain", root.join("data/c")).unwrap();
        assert_eq!(leads(root, &links(root)), [lead("/data/a", "/plain/file", 3)]);
    }

    #[test]
    fn links_inside_dangling_ones_loops_and_the_kernels_places_are_not() {
        let scratch = tree();
        let root = scratch.path();
        let data = root.join("data");
        symlink("indices/u", data.join("inside")).unwrap();
        symlink("..", data.join("indices/up")).unwrap();
        symlink("/no/such/place", data.join("dangling")).unwrap();
        symlink("loop", data.join("loop")).unwrap();
        symlink("/dev/null", data.join("null")).unwrap();
        symlink("/proc/self", data.join("proc")).unwrap();
        let links = links(root);
        assert_eq!(links.leaving, []);
        assert!(links.entries >= 9);
    }

    #[test]
    fn the_walk_never_follows_and_says_how_deep_it_went() {
        let scratch = tree();
        let root = scratch.path();
        symlink("../plain", root.join("data/out")).unwrap();
        symlink("/", root.join("plain/further")).unwrap();
        let index = root.join("data/indices/u/0/index");
        symlink("../../../../plain/sub", root.join("data/indices/u/0/last")).unwrap();
        symlink("../../../../../plain/sub", index.join("below")).unwrap();
        let links = links(root);
        assert_eq!(
            leads(root, &links),
            [lead("/data/indices/u/0/last", "/plain/sub", 1), lead("/data/out", "/plain", 1)]
        );
        assert_eq!(links.uncovered, [Uncovered::Deeper].into());
    }

    fn bounded(root: &Path, limits: &Limits) -> Links {
        let data = std::fs::canonicalize(root.join("data")).unwrap();
        let nowhere = |_: &HostPath| None;
        walk(&Rooted::new("/"), &data.as_path().into(), limits, &nowhere).unwrap()
    }

    #[test]
    fn the_caps_end_the_walk_and_are_told() {
        let scratch = tree();
        let root = scratch.path();
        for number in 0..50 {
            std::fs::write(root.join(format!("data/{number}")), "").unwrap();
        }
        let links = bounded(root, &Limits { entries: 20, ..LIMITS });
        assert_eq!((links.entries, links.uncovered), (20, [Uncovered::MoreEntries].into()));
        let links = bounded(root, &Limits { depth: 9, ..LIMITS });
        assert_eq!((links.entries, links.uncovered), (55, BTreeSet::new()));
        let links = bounded(root, &Limits { time: Duration::ZERO, ..LIMITS });
        assert_eq!(links.uncovered, [Uncovered::Time].into());
    }

    #[test]
    fn nothing_leads_out_of_the_root() {
        let follow = |_: &HostPath| panic!("no link is followed");
        let links = leaving(&Rooted::new("/"), &HostPath::root(), &follow).unwrap();
        assert_eq!(links, Links::default());
    }

    #[test]
    fn other_file_systems_are_not_entered() {
        let nowhere = |_: &HostPath| None;
        let limits = Limits { depth: 2, ..LIMITS };
        let links = walk(&Rooted::new("/"), &HostPath::root(), &limits, &nowhere).unwrap();
        // proc is a file system of its own wherever tests run.
        assert!(links.uncovered.contains(&Uncovered::OtherMounts));
    }

    #[test]
    fn a_file_is_no_directory_to_walk() {
        let scratch = tree();
        let file =
            HostPath::from(std::fs::canonicalize(scratch.path().join("plain/file")).unwrap());
        let trouble = LiveHost::new("/").links(&Namespace::Host, &file).unwrap_err();
        assert_eq!(trouble.reason, Reason::NotFound);
    }
}
