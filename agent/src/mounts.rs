//! Mount tables: reading mountinfo, and finding the mounts that a path's contents may lie on.
//!
//! Format: `proc_pid_mountinfo(5)`. A line that makes no sense spoils the table: a mount that we cannot read may
//! be the one that holds the data.

use std::collections::BTreeMap;

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
    let mut mounts: Vec<Mount> = Vec::new();
    let mut ids = BTreeMap::new();
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let at = |why| MountinfoError { line: index + 1, why };
        // What the last options were must not be guessed.
        let line = line.strip_suffix(b"\n").ok_or(at("it is cut short"))?;
        if line.is_empty() {
            continue;
        }
        let mount = parse_line(line).map_err(at)?;
        // Older kernels may list a mount twice when the table changes while it is read.
        match ids.insert(mount.id, line) {
            None => mounts.push(mount),
            Some(before) if before == line => {}
            Some(_) => return Err(at("its mount id is that of another mount")),
        }
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

/// A mount table with the index that repeated look-ups need.
#[derive(Debug)]
pub struct Index<'a> {
    mounts: &'a [Mount],
    by_id: BTreeMap<u64, &'a Mount>,
    /// By parent and mount point: the last mounted is the visible one.
    children: BTreeMap<(u64, &'a HostPath), &'a Mount>,
    /// By mount point: all of them.
    at: BTreeMap<&'a HostPath, Vec<&'a Mount>>,
}

impl<'a> Index<'a> {
    /// Builds the index, in time proportional to the table.
    pub fn new(mounts: &'a [Mount]) -> Self {
        let mut by_id = BTreeMap::new();
        let mut at: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for mount in mounts {
            by_id.insert(mount.id, mount);
            at.entry(&mount.mount_point).or_default().push(mount);
        }
        let mut index = Self { mounts, by_id, children: BTreeMap::new(), at };
        let root = index.root_mount().map(|root| root.id);
        for mount in mounts.iter().filter(|mount| mount.parent != mount.id) {
            // A mount whose parent is not listed hangs on nothing that is known: it is taken as visible.
            let parent = match root {
                Some(root) if !index.by_id.contains_key(&mount.parent) && mount.id != root => root,
                Some(_) | None => mount.parent,
            };
            index.children.insert((parent, &mount.mount_point), mount);
        }
        index
    }

    /// The mount with this id.
    pub fn by_id(&self, id: u64) -> Option<&'a Mount> {
        self.by_id.get(&id).copied()
    }

    /// The mount that holds `path`, which must be resolved: without symbolic links and `..`.
    ///
    /// Walks the tree as the kernel does: from the root mount, at each component into what is mounted there,
    /// so that a mount below a hidden directory is not taken for a visible one.
    pub fn holding(&self, path: &HostPath) -> Option<&'a Mount> {
        let mut at = HostPath::root();
        let Some(root) = self.root_mount() else { return self.longest(path) };
        let mut mount = self.climb(root, &at);
        for part in path.components() {
            at = at.join(part);
            mount = self.climb(mount, &at);
        }
        Some(mount)
    }

    /// Without a root mount, as in a chroot to a plain directory: the last mount on the longest prefix.
    fn longest(&self, path: &HostPath) -> Option<&'a Mount> {
        let mut point = Some(path.clone());
        while let Some(at) = point {
            if let Some(mount) = self.at.get(&at).and_then(|mounts| mounts.last()) {
                return Some(mount);
            }
            point = at.parent();
        }
        None
    }

    /// Goes up through everything mounted on `point` of `mount`, to the visible mount.
    fn climb(&self, mount: &'a Mount, point: &HostPath) -> &'a Mount {
        let mut mount = mount;
        // A table cannot stack more mounts than it has.
        for _ in 0..self.mounts.len() {
            match self.children.get(&(mount.id, point)) {
                Some(next) => mount = next,
                None => break,
            }
        }
        mount
    }

    /// The first mount at `/` whose parent is not in the table, as in a chroot or a container.
    fn root_mount(&self) -> Option<&'a Mount> {
        let at_root = self.at.get(&HostPath::root())?;
        at_root
            .iter()
            .find(|mount| mount.parent == mount.id || !self.by_id.contains_key(&mount.parent))
            .or_else(|| at_root.first())
            .copied()
    }

    /// The mounts that decide for `path`. `known` is the id of the holding mount, when the kernel told it.
    pub fn covering(&self, path: &HostPath, known: Option<u64>) -> Option<Covering<'a>> {
        let own = known.and_then(|id| self.by_id(id)).or_else(|| self.holding(path))?;
        let below = self
            .at
            .range::<HostPath, _>(path..)
            .take_while(|(point, _)| shares_prefix(point, path))
            .filter(|(point, _)| point.is_at_or_below(path))
            .flat_map(|(_, mounts)| mounts.iter().copied())
            .filter(|mount| mount.id != own.id && !self.is_triggered(mount))
            .collect();
        Some(Covering { own, below })
    }

    /// Whether what an automount point waits for is mounted on it: it takes no files itself.
    fn is_triggered(&self, mount: &Mount) -> bool {
        mount.fstype == "autofs" && self.children.contains_key(&(mount.id, &mount.mount_point))
    }

    /// Whether the name `path` may at some time have led to another file system than it does now: a mount on the way
    /// was laid over another one, or hides one that is further down.
    pub fn is_ambiguous(&self, path: &HostPath) -> bool {
        let mut deepest = None;
        let mut at = Some(path.clone());
        while let Some(point) = at {
            match self.at.get(&point).map(Vec::as_slice) {
                Some([_, _, ..]) => return true,
                Some([only]) if deepest.is_none() => deepest = Some(only.id),
                Some(_) | None => {}
            }
            at = point.parent();
        }
        self.holding(path).map(|mount| mount.id) != deepest
    }

    /// The mounts that were there before `mount`: the kernel lists them in the order in which they were mounted.
    #[must_use]
    pub fn before(&self, mount: &Mount) -> Index<'a> {
        let end = self.mounts.iter().position(|other| other.id == mount.id);
        Index::new(end.and_then(|end| self.mounts.get(..end)).unwrap_or_default())
    }

    /// Some mount of the file system on `device`.
    pub fn of_device(&self, device: DeviceNumber) -> Option<&'a Mount> {
        self.mounts.iter().find(|mount| mount.device == device)
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
