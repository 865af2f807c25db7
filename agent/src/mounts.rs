//! Mount tables: reading mountinfo, and finding the mounts that a path's contents may lie on.
//!
//! Format: `proc_pid_mountinfo(5)`. A line that makes no sense spoils the table: a mount that we cannot read may
//! be the one that holds the data.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use thiserror::Error;

use crate::path::HostPath;
use crate::snapshot::{DeviceNumber, Mount};

/// A line that is not one of mountinfo's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {why}")]
pub struct MountinfoError {
    /// From 1.
    pub line: usize,
    pub why: &'static str,
}

/// The options that anything here looks at. No other is kept: some hold passwords, such as ceph's `secret=`, and those of
/// FUSE programs are whatever the program chose.
const OPTIONS: &[&str] = &[
    "ro",
    "rw",
    // overlay
    "lowerdir",
    "upperdir",
    "workdir",
    // xfs
    "logdev",
    "rtdev",
    // ext3 and ext4
    "data",
    "journal_dev",
    "journal_path",
    // eCryptfs
    "ecryptfs_cipher",
    "ecryptfs_encrypted_view",
    "ecryptfs_fnek_sig",
    "ecryptfs_key_bytes",
    "ecryptfs_passthrough",
    // autofs
    "direct",
    "indirect",
    "offset",
    // nfs
    "addr",
    // nfs, cifs, ceph
    "fsc",
    // 9p
    "cache",
    // tmpfs
    "noswap",
    // btrfs
    "subvol",
    "subvolid",
];
/// That these are there is told, not what they are: identifiers of keys.
const PRESENCE: &[&str] = &["ecryptfs_fnek_sig"];

/// Whether [`parse`] keeps an option of this name.
pub fn keeps(option: &str) -> bool {
    OPTIONS.contains(&option)
}

/// Of the super options those that are kept.
fn kept(options: &str) -> String {
    let kept = options.split(',').filter_map(|option| {
        let name = option.split_once('=').map_or(option, |(name, _)| name);
        match (keeps(name), PRESENCE.contains(&name)) {
            (true, true) => Some(format!("{name}=0")),
            (true, false) => Some(option.to_owned()),
            (false, _) => None,
        }
    });
    kept.collect::<Vec<_>>().join(",")
}

/// A source without what may let one in: `https://USER:PASSWORD@host/path?TOKEN` becomes `https://host/path`.
fn without_credentials(source: Vec<u8>) -> Vec<u8> {
    // A name of a file is no address, whatever it is made of.
    if source.first() == Some(&b'/') {
        return source;
    }
    let Some(at) = source.windows(3).position(|part| part == b"://") else { return source };
    let (scheme, rest) = source.split_at(at + 3);
    let end = rest.iter().position(|byte| *byte == b'?').unwrap_or(rest.len());
    let rest = rest.get(..end).unwrap_or_default();
    // A password may hold `@` and `/`: what follows the last `@` is certain to be none.
    let after = rest.iter().rposition(|byte| *byte == b'@').map_or(0, |user| user + 1);
    [scheme, rest.get(after..).unwrap_or_default()].concat()
}

/// A table as the kernel writes it, of what [`parse`] keeps.
pub fn format(table: &[Mount]) -> Vec<u8> {
    let mut text = Vec::new();
    for mount in table {
        let Mount { id, parent, device, root, mount_point, fstype, source, super_options } = mount;
        text.extend(format!("{id} {parent} {device} ").into_bytes());
        text.extend(escape(root.as_bytes()));
        text.push(b' ');
        text.extend(escape(mount_point.as_bytes()));
        text.extend(format!(" rw - {fstype} ").into_bytes());
        text.extend(escape(source.as_bytes()));
        // The options are kept as the kernel escaped them.
        text.extend(format!(" {super_options}\n").into_bytes());
    }
    text
}

/// The kernel's octal escapes (`mangle` of `fs/proc_namespace.c`).
fn escape(field: &[u8]) -> Vec<u8> {
    let escaped = |byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
        other => vec![*other],
    };
    field.iter().flat_map(escaped).collect()
}

/// Reads a whole mountinfo file.
pub fn parse(text: &[u8]) -> Result<Vec<Mount>, MountinfoError> {
    // Exactly, for a table may be large. A line is longer than this, so that no text asks for more than it fills.
    const SHORTEST: usize = 16;
    let count = text.split(|byte| *byte == b'\n').count().min(text.len() / SHORTEST);
    let mut mounts: Vec<Mount> = Vec::with_capacity(count);
    let mut lines = Vec::with_capacity(count);
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let at = |why| MountinfoError { line: index + 1, why };
        // What the last options were must not be guessed.
        let line = line.strip_suffix(b"\n").ok_or(at("it is cut short"))?;
        if line.is_empty() {
            continue;
        }
        let mount = parse_line(line).map_err(at)?;
        lines.push((mount.id, index, line));
        mounts.push(mount);
    }
    // Older kernels may list a mount twice when the table changes while it is read.
    lines.sort_unstable();
    let twice: Vec<_> =
        lines.windows(2).filter(|pair| matches!(pair, [(a, ..), (b, ..)] if a == b)).collect();
    let other = twice.iter().filter_map(|pair| match pair {
        [(_, _, before), (_, index, line)] if before != line => Some(index + 1),
        _ => None,
    });
    if let Some(line) = other.min() {
        return Err(MountinfoError { line, why: "its mount id is that of another mount" });
    }
    if !twice.is_empty() {
        let mut seen = std::collections::BTreeSet::new();
        mounts.retain(|mount| seen.insert(mount.id));
    }
    Ok(mounts)
}

fn parse_line(line: &[u8]) -> Result<Mount, &'static str> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut next = |why| fields.next().ok_or(why);
    let id = number(next("no mount id")?).ok_or("the mount id is not a number")?;
    let parent = number(next("no parent id")?).ok_or("the parent id is not a number")?;
    let device = std::str::from_utf8(next("no device number")?)
        .ok()
        .and_then(|text| text.parse::<DeviceNumber>().ok())
        .ok_or("the device number is not MAJOR:MINOR")?;
    let root = unescape(next("no root")?);
    let mount_point = unescape(next("no mount point")?);
    let _options = next("no mount options")?;
    // Optional fields such as `shared:1`, ended by a single hyphen.
    fields.by_ref().find(|field| *field == b"-").ok_or("no separator")?;
    let mut next = |why| fields.next().ok_or(why);
    let fstype = next("no file system type")?;
    let source = unescape(next("no source")?);
    let super_options = fields.next().unwrap_or_default();
    let mount_point = HostPath::new(mount_point);
    if !mount_point.is_absolute() {
        return Err("the mount point is not absolute");
    }
    Ok(Mount {
        id,
        parent,
        device,
        root: HostPath::new(root),
        mount_point: mount_point.normalised(),
        fstype: String::from_utf8_lossy(fstype).into_owned(),
        source: HostPath::new(without_credentials(source)),
        super_options: kept(&String::from_utf8_lossy(super_options)),
    })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Undoes the kernel's octal escapes (`\040` and the like); other backslashes stay.
pub fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| first == b'\\').and_then(|digits| {
            digits.iter().try_fold(0_u32, |value, digit| {
                (b'0'..=b'7').contains(digit).then(|| value * 8 + u32::from(digit - b'0'))
            })
        });
        if let Some(byte) = octal.and_then(|value| u8::try_from(value).ok()) {
            bytes.push(byte);
            rest = after.get(3..).unwrap_or_default();
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    bytes
}

/// The mounts that decide where a path's contents rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covering<'a> {
    /// The mount that holds the path itself.
    pub own: &'a Mount,
    /// Every other mount at or below the path, hidden ones too, in the table's order.
    pub below: Vec<&'a Mount>,
}

/// A mount table with the orders that repeated look-ups need.
///
/// Sorted lists of places in the table, and not maps: tables of ten thousand mounts are common where containers run, and
/// what the table was before a mount is the same lists with a bound.
#[derive(Debug, Clone)]
pub struct Index<'a> {
    mounts: &'a [Mount],
    /// Only so many of them are there: see [`Self::before`].
    end: usize,
    orders: Rc<Orders>,
}

/// Places in the table, equal ones always in the table's order.
#[derive(Debug)]
struct Orders {
    by_id: Vec<usize>,
    by_point: Vec<usize>,
    /// By parent and mount point, without mounts that are their own parents.
    children: Vec<usize>,
    /// By mount point: those whose parent is not listed, or only after them.
    strays: Vec<usize>,
    /// The first mount of each file system.
    devices: BTreeMap<DeviceNumber, usize>,
}

impl<'a> Index<'a> {
    /// Builds the index, in time and memory proportional to the table, but for sorting.
    pub fn new(mounts: &'a [Mount]) -> Self {
        let sorted = |compare: &dyn Fn(&Mount, &Mount) -> Ordering| {
            let mut places: Vec<(usize, &Mount)> = mounts.iter().enumerate().collect();
            places.sort_by(|(_, a), (_, b)| compare(a, b));
            places
        };
        let place = |places: Vec<(usize, &Mount)>| places.into_iter().map(|(at, _)| at).collect();
        let by_id = sorted(&|a, b| a.id.cmp(&b.id));
        let first_of = |id: u64| {
            let at = by_id.partition_point(|(_, mount)| mount.id < id);
            by_id.get(at).filter(|(_, mount)| mount.id == id).map(|(at, _)| *at)
        };
        let by_point = sorted(&|a, b| a.mount_point.cmp(&b.mount_point));
        let mut children: Vec<(usize, &Mount)> =
            by_point.iter().copied().filter(|(_, mount)| mount.parent != mount.id).collect();
        let is_stray = |(at, mount): &&(usize, &Mount)| {
            first_of(mount.parent).is_none_or(|parent| parent > *at)
        };
        let strays = children.iter().filter(is_stray).map(|(at, _)| *at).collect();
        // Stable: those of one parent stay sorted by point.
        children.sort_by_key(|(_, mount)| mount.parent);
        let mut devices = BTreeMap::new();
        for (at, mount) in mounts.iter().enumerate() {
            devices.entry(mount.device).or_insert(at);
        }
        let orders = Orders {
            by_id: place(by_id),
            by_point: place(by_point),
            children: place(children),
            strays,
            devices,
        };
        Self { mounts, end: mounts.len(), orders: Rc::new(orders) }
    }

    /// The mount at a place in the table.
    fn mount(&self, at: usize) -> Option<&'a Mount> {
        self.mounts.get(at)
    }

    /// How much of `order` comes before everything that `wanted` finds greater, or that is not there yet.
    fn up_to(&self, order: &[usize], wanted: &impl Fn(&Mount) -> Ordering) -> usize {
        order.partition_point(|at| match self.mount(*at).map(wanted) {
            Some(Ordering::Less) => true,
            Some(Ordering::Equal) => *at < self.end,
            Some(Ordering::Greater) | None => false,
        })
    }

    /// The places that `wanted` finds equal, from the last to the first.
    fn backwards<'o>(
        &self,
        order: &'o [usize],
        wanted: impl Fn(&Mount) -> Ordering + 'o,
    ) -> impl Iterator<Item = (usize, &'a Mount)> + 'o
    where
        'a: 'o,
    {
        let (mounts, end) = (self.mounts, self.up_to(order, &wanted));
        let before = order.get(..end).unwrap_or_default().iter().rev();
        before
            .filter_map(move |at| Some((*at, mounts.get(*at)?)))
            .take_while(move |(_, mount)| wanted(mount) == Ordering::Equal)
    }

    /// The mount with this id.
    pub fn by_id(&self, id: u64) -> Option<&'a Mount> {
        self.backwards(&self.orders.by_id, |mount| mount.id.cmp(&id)).next().map(|(_, mount)| mount)
    }

    /// The mounts on one point, the last first.
    fn on<'o>(&'o self, point: &'o HostPath) -> impl Iterator<Item = (usize, &'a Mount)> + 'o {
        self.backwards(&self.orders.by_point, move |mount| mount.mount_point.cmp(point))
    }

    /// The mount that holds `path`, which must be resolved: without symbolic links and `..`.
    ///
    /// Walks the tree as the kernel does: from the root mount, at each component into what is mounted there,
    /// so that a mount below a hidden directory is not taken for a visible one.
    pub fn holding(&self, path: &HostPath) -> Option<&'a Mount> {
        let mut at = HostPath::root();
        let Some(root) = self.root_mount() else { return self.longest(path) };
        let mut mount = self.climb(root, root, &at);
        for part in path.components() {
            at = at.join(part);
            mount = self.climb(root, mount, &at);
        }
        Some(mount)
    }

    /// Without a root mount, as in a chroot to a plain directory: the last mount on the longest prefix.
    fn longest(&self, path: &HostPath) -> Option<&'a Mount> {
        let mut point = Some(path.clone());
        while let Some(at) = point {
            if let Some((_, mount)) = self.on(&at).next() {
                return Some(mount);
            }
            point = at.parent();
        }
        None
    }

    /// Goes up through everything mounted on `point` of `mount`, to the visible mount.
    fn climb(&self, root: &'a Mount, mount: &'a Mount, point: &HostPath) -> &'a Mount {
        let mut mount = mount;
        // A table cannot stack more mounts than it has.
        for _ in 0..self.end {
            match self.child(Some(root), mount, point) {
                Some(next) => mount = next,
                None => break,
            }
        }
        mount
    }

    /// What was mounted last on `point` of `mount`.
    ///
    /// A mount whose parent is not listed hangs on nothing that is known: it is taken as visible, on the root mount.
    fn child(&self, root: Option<&'a Mount>, mount: &Mount, point: &HostPath) -> Option<&'a Mount> {
        let own = self
            .backwards(&self.orders.children, |child| {
                (child.parent, &child.mount_point).cmp(&(mount.id, point))
            })
            .next();
        let stray = root.filter(|root| root.id == mount.id).and_then(|root| {
            self.backwards(&self.orders.strays, |child| child.mount_point.cmp(point))
                .find(|(_, child)| child.id != root.id && self.by_id(child.parent).is_none())
        });
        own.into_iter().chain(stray).max_by_key(|(at, _)| *at).map(|(_, mount)| mount)
    }

    /// The first mount at `/` whose parent is not in the table, as in a chroot or a container.
    fn root_mount(&self) -> Option<&'a Mount> {
        let root = HostPath::root();
        let order = &self.orders.by_point;
        let on_root = |mount: &Mount| mount.mount_point.cmp(&root);
        let first = order.partition_point(|at| {
            self.mount(*at).is_some_and(|mount| on_root(mount) == Ordering::Less)
        });
        let at_root = order.get(first..self.up_to(order, &on_root)).unwrap_or_default();
        let mut mounts = at_root.iter().filter_map(|at| self.mount(*at));
        mounts
            .clone()
            .find(|mount| mount.parent == mount.id || self.by_id(mount.parent).is_none())
            .or_else(|| mounts.next())
    }

    /// The mounts that decide for `path`. `known` is the id of the holding mount, when the kernel told it: `None` when that
    /// is not in the table, or was given to another mount since.
    pub fn covering(&self, path: &HostPath, known: Option<u64>) -> Option<Covering<'a>> {
        let own = match known {
            Some(id) => self.by_id(id).filter(|own| path.is_at_or_below(&own.mount_point))?,
            None => self.holding(path)?,
        };
        let order = &self.orders.by_point;
        let first = order
            .partition_point(|at| self.mount(*at).is_some_and(|mount| mount.mount_point < *path));
        let below = order
            .get(first..)
            .unwrap_or_default()
            .iter()
            .filter(|at| **at < self.end)
            .filter_map(|at| self.mount(*at))
            .take_while(|mount| shares_prefix(&mount.mount_point, path))
            .filter(|mount| mount.mount_point.is_at_or_below(path))
            .filter(|mount| mount.id != own.id && !self.is_triggered(mount))
            .collect();
        Some(Covering { own, below })
    }

    /// Whether what an automount point waits for is mounted on it: it takes no files itself.
    fn is_triggered(&self, mount: &Mount) -> bool {
        mount.fstype == "autofs"
            && self.child(self.root_mount(), mount, &mount.mount_point).is_some()
    }

    /// Whether the name `path` may at some time have led to another file system than it does now: a mount on the way
    /// was laid over another one, or hides one that is further down.
    pub fn is_ambiguous(&self, path: &HostPath) -> bool {
        let mut deepest = None;
        let mut at = Some(path.clone());
        while let Some(point) = at {
            let mut mounts = self.on(&point).map(|(_, mount)| mount.id);
            match (mounts.next(), mounts.next()) {
                (Some(_), Some(_)) => return true,
                (Some(only), None) if deepest.is_none() => deepest = Some(only),
                (Some(_), None) | (None, _) => {}
            }
            at = point.parent();
        }
        self.holding(path).map(|mount| mount.id) != deepest
    }

    /// The mounts that were there before `mount`: the kernel lists them in the order in which they were mounted.
    #[must_use]
    pub fn before(&self, mount: &Mount) -> Index<'a> {
        let place = self.backwards(&self.orders.by_id, |other| other.id.cmp(&mount.id)).last();
        let end = place.map_or(0, |(at, _)| at);
        Self { end, orders: Rc::clone(&self.orders), ..*self }
    }

    /// Some mount of the file system on `device`.
    pub fn of_device(&self, device: DeviceNumber) -> Option<&'a Mount> {
        let at = self.orders.devices.get(&device).filter(|at| **at < self.end)?;
        self.mount(*at)
    }
}

/// Whether `point` starts with the bytes of `path`: where a sorted range of those ends, so do the mounts below.
fn shares_prefix(point: &HostPath, path: &HostPath) -> bool {
    point.as_bytes().starts_with(path.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(text: &str) -> Vec<Mount> {
        parse(text.as_bytes()).unwrap()
    }

    fn holder<'a>(mounts: &'a [Mount], path: &str) -> &'a str {
        std::str::from_utf8(Index::new(mounts).holding(&path.into()).unwrap().source.as_bytes())
            .unwrap()
    }

    #[test]
    fn odd_names_are_read_as_the_kernel_meant_them() {
        let mounts = table(
            "30 1 254:0 / /mnt/a\\040b\\134c\\012d rw - ext4 /dev/mapper/cr\\134x20\\0431 rw\n",
        );
        assert_eq!(mounts[0].mount_point, HostPath::from("/mnt/a b\\c\nd"));
        assert_eq!(mounts[0].source, HostPath::from("/dev/mapper/cr\\x20#1"));
    }

    #[test]
    fn optional_fields_may_be_none_or_many() {
        let mounts = table(
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /a rw shared:1 master:2 - xfs /dev/sda2 rw\n",
        );
        assert_eq!(mounts[1].fstype, "xfs");
    }

    #[test]
    fn only_options_that_decide_something_are_kept_and_no_credentials() {
        let mounts = table(
            "1 0 0:9 / /c rw - ceph 10.0.0.1:/ rw,name=admin,secret=hush,acl\n2 1 0:8 / /o rw - overlay o rw,lowerdir=/l,upperdir=/u,workdir=/w,xino=off\n3 1 0:7 / /e rw - ecryptfs /low rw,ecryptfs_fnek_sig=1122,ecryptfs_sig=3344,ecryptfs_cipher=aes\n4 1 0:6 / /f rw - fuse.davfs https://me:hush@x/y@host/dav?sig=hush rw,user_id=0,password=hush\n",
        );
        let options: Vec<&str> = mounts.iter().map(|mount| mount.super_options.as_str()).collect();
        assert_eq!(
            options,
            [
                "rw",
                "rw,lowerdir=/l,upperdir=/u,workdir=/w",
                "rw,ecryptfs_fnek_sig=0,ecryptfs_cipher=aes",
                "rw"
            ]
        );
        assert_eq!(mounts[3].source, HostPath::from("https://host/dav"));
    }

    #[test]
    fn a_table_is_written_as_it_was_read() {
        let mounts = table(
            "30 1 254:0 / /mnt/a\\040b\\134c\\012d rw,noatime shared:1 - ext4 /dev/mapper/cr\\134x20\\0431 rw,errors=continue\n31 30 0:9 /x /o rw - overlay o rw,upperdir=/u\\0541,workdir=/w\n32 30 0:8 / /n rw - tmpfs  rw\n",
        );
        assert_eq!(parse(&format(&mounts)).unwrap(), mounts);
    }

    #[test]
    fn a_broken_line_names_itself() {
        let error =
            parse(b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 eight / /a rw - xfs x\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: the device number is not MAJOR:MINOR");
    }

    #[test]
    fn the_last_mount_on_a_point_is_the_visible_one() {
        let mounts = table(
            "1 0 8:1 / / rw - ext4 root rw\n2 1 8:2 / /data rw - ext4 plain rw\n3 2 254:0 / /data rw - ext4 luks rw\n",
        );
        assert_eq!(holder(&mounts, "/data/x"), "luks");
        let index = Index::new(&mounts);
        let covering = index.covering(&"/data".into(), None).unwrap();
        assert_eq!(covering.own.id, 3);
        assert_eq!(covering.below.iter().map(|mount| mount.id).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn an_id_that_is_not_of_a_mount_above_the_path_tells_nothing() {
        let mounts = table(
            "1 0 8:1 / / rw - ext4 root rw\n2 1 8:2 / /data rw - ext4 plain rw\n3 1 8:3 / /srv rw - ext4 other rw\n",
        );
        let index = Index::new(&mounts);
        let own = |id| index.covering(&"/data/x".into(), Some(id)).map(|covering| covering.own.id);
        // The first is hidden there, and may hold the file all the same.
        assert_eq!([own(1), own(2)], [Some(1), Some(2)]);
        assert_eq!([own(3), own(4)], [None, None]);
    }

    #[test]
    fn a_mount_below_a_hidden_directory_is_not_visible_but_counts() {
        let mounts = table(
            "1 0 8:1 / / rw - ext4 root rw\n2 1 8:2 / /srv/es rw - ext4 old rw\n3 1 254:0 / /srv rw - ext4 new rw\n",
        );
        assert_eq!(holder(&mounts, "/srv/es"), "new");
        let index = Index::new(&mounts);
        assert_eq!(index.covering(&"/srv/es".into(), None).unwrap().below[0].id, 2);
    }

    #[test]
    fn a_name_is_ambiguous_where_a_mount_was_laid_over_another_or_hides_one() {
        let ambiguous = |rest: &str| {
            let mounts = table(&format!("1 0 8:1 / / rw - ext4 root rw\n{rest}"));
            Index::new(&mounts).is_ambiguous(&"/srv/es/image".into())
        };
        assert!(!ambiguous("2 1 8:2 / /srv rw - ext4 a rw\n3 2 8:3 / /srv/es rw - ext4 b rw\n"));
        assert!(!ambiguous("2 1 8:2 / /srv/es/other rw - ext4 a rw\n"));
        assert!(ambiguous("2 1 8:2 / /srv rw - ext4 a rw\n3 2 8:3 / /srv rw - ext4 b rw\n"));
        assert!(ambiguous("2 1 8:2 / /srv/es rw - ext4 a rw\n3 1 8:3 / /srv rw - ext4 b rw\n"));
    }

    #[test]
    fn siblings_with_a_common_prefix_are_not_below() {
        let mounts = table(
            "1 0 8:1 / / rw - ext4 r rw\n2 1 8:2 / /data rw - ext4 a rw\n3 1 8:3 / /data-2 rw - ext4 b rw\n4 2 8:4 / /data/x rw - ext4 c rw\n",
        );
        let index = Index::new(&mounts);
        let covering = index.covering(&"/data".into(), None).unwrap();
        assert_eq!(covering.below.iter().map(|mount| mount.id).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn a_mount_whose_parent_is_not_listed_is_visible() {
        let mounts = table(
            "22 1 0:22 / /proc rw - proc proc rw\n43 1 254:2 / / rw - ext4 root rw\n44 1 254:3 / /home rw - xfs home rw\n",
        );
        assert_eq!(holder(&mounts, "/home/x"), "home");
        assert_eq!(holder(&mounts, "/srv"), "root");
    }

    #[test]
    fn the_root_of_a_container_has_a_parent_outside_the_table() {
        let mounts = table(
            "500 400 0:99 / / rw - overlay overlay rw\n501 500 0:5 / /proc rw - proc proc rw\n",
        );
        assert_eq!(holder(&mounts, "/usr/share"), "overlay");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _parsed = parse(&text);
        }

        #[test]
        fn what_is_written_reads_the_same(text in "(1 0 8:[0-9] /[ab\\\\0-7]{0,6} /[ab\\\\0-7/]{0,8} rw - [a-z]{1,4} [a-z:/@?\\\\0-7]{0,12} (rw|ro|upperdir=/[ab\\\\0-7]{0,4}|secret=x)\n){0,4}") {
            if let Ok(mounts) = parse(text.as_bytes()) {
                prop_assert_eq!(parse(&format(&mounts)), Ok(mounts));
            }
        }

        #[test]
        fn escaping_round_trips(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(unescape(&escape(&bytes)), bytes);
        }

        /// A bound on one index is the same as an index of what comes before.
        #[test]
        fn before_is_the_table_as_it_was(ids in proptest::collection::vec((0u64..8, 0u64..8, 0usize..5), 1..14), at in 0usize..14) {
            let points = ["/", "/a", "/a/b", "/ab", "/a/b/c"];
            let mounts: Vec<Mount> = ids.iter().enumerate().map(|(place, (id, parent, point))| Mount {
                id: *id, parent: *parent, device: DeviceNumber::new(8, u32::try_from(place % 5).unwrap()),
                root: HostPath::root(), mount_point: points[*point].into(),
                fstype: if place % 3 == 0 { "autofs" } else { "ext4" }.into(), source: format!("{place}").into(),
                super_options: String::new(),
            }).collect();
            let mount = &mounts[at % mounts.len()];
            let end = mounts.iter().position(|other| other.id == mount.id).unwrap();
            let (bounded, fresh) = (Index::new(&mounts).before(mount), Index::new(&mounts[..end]));
            for point in points {
                let point = HostPath::from(point);
                prop_assert_eq!(bounded.holding(&point), fresh.holding(&point));
                prop_assert_eq!(bounded.covering(&point, None), fresh.covering(&point, None));
                prop_assert_eq!(bounded.is_ambiguous(&point), fresh.is_ambiguous(&point));
            }
            for minor in 0..5 {
                let device = DeviceNumber::new(8, minor);
                prop_assert_eq!(bounded.of_device(device), fresh.of_device(device));
            }
            for id in 0..8 {
                prop_assert_eq!(bounded.by_id(id), fresh.by_id(id));
            }
        }

        /// The walk agrees with a plain map of children, as a table of the kernel's is described.
        #[test]
        fn the_holder_is_that_of_a_map_of_children(ids in proptest::collection::vec((0u64..8, 0u64..8, 0usize..5), 1..14)) {
            let points = ["/", "/a", "/a/b", "/ab", "/a/b/c"];
            let mounts: Vec<Mount> = ids.iter().map(|(id, parent, point)| Mount {
                id: *id, parent: *parent, device: DeviceNumber::new(8, 1), root: HostPath::root(),
                mount_point: points[*point].into(), fstype: "ext4".into(), source: "x".into(),
                super_options: String::new(),
            }).collect();
            let by_id: BTreeMap<u64, &Mount> = mounts.iter().map(|mount| (mount.id, mount)).collect();
            let root = HostPath::root();
            let at_root: Vec<&Mount> = mounts.iter().filter(|mount| mount.mount_point == root).collect();
            let first = at_root.iter().find(|mount| mount.parent == mount.id || !by_id.contains_key(&mount.parent))
                .or_else(|| at_root.first());
            if let Some(first) = first {
                let mut children = BTreeMap::new();
                for mount in mounts.iter().filter(|mount| mount.parent != mount.id) {
                    let is_stray = !by_id.contains_key(&mount.parent) && mount.id != first.id;
                    children.insert((if is_stray { first.id } else { mount.parent }, &mount.mount_point), mount);
                }
                for point in points {
                    let path = HostPath::from(point);
                    let mut ways = vec![root.clone()];
                    ways.extend(path.components().map(<[u8]>::to_vec).scan(root.clone(), |at, part| {
                        *at = at.join(part);
                        Some(at.clone())
                    }));
                    let mut holder: &Mount = first;
                    for way in &ways {
                        for _ in 0..mounts.len() {
                            let Some(next) = children.get(&(holder.id, way)) else { break };
                            holder = next;
                        }
                    }
                    prop_assert!(std::ptr::eq(Index::new(&mounts).holding(&path).unwrap(), holder));
                }
            }
        }

        #[test]
        fn any_table_is_indexed_and_searched(ids in proptest::collection::vec((0u64..6, 0u64..6, 0usize..4), 0..12)) {
            let points = ["/", "/a", "/a/b", "/ab"];
            let mounts: Vec<Mount> = ids.iter().map(|(id, parent, point)| Mount {
                id: *id, parent: *parent, device: DeviceNumber::new(8, 1), root: HostPath::root(),
                mount_point: points[*point].into(), fstype: "ext4".into(), source: "x".into(),
                super_options: String::new(),
            }).collect();
            let index = Index::new(&mounts);
            for point in points {
                let _covering = index.covering(&point.into(), None);
            }
        }
    }
}
