//! The files that a running program holds open: where it writes, whatever its settings say now.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::{Gap, Reason, Use};

use super::instance::{AS_ROOT, Instance};
use super::process::gap;
use crate::host::{Host, mount_id_of, read_text};
use crate::mounts::Index;
use crate::observe::mount_table;
use crate::path::HostPath;
use crate::snapshot::{Mount, MountTable, Namespace, Observed, Resolved, Trouble};

/// A node with many shards has tens of thousands.
const LIMIT: usize = 200_000;

/// What every node holds open in each of its data directories; until 8.0 below `nodes/0`.
const LOCK: &[u8] = b"node.lock";

/// Where a running program writes, by what it holds open.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The directories of the files that are open for writing, by their names.
    pub(super) places: BTreeSet<(Use, HostPath)>,
    /// The same of files that their names do not lead to.
    pub(super) held: Vec<Held>,
}

/// A directory in which files are open for writing that their names do not lead to: something was mounted over it, or it was
/// opened in another mount namespace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) usage: Use,
    pub(super) directory: HostPath,
    /// Whose mount table has the mount.
    pub(super) namespace: Namespace,
    /// One of the files, and the mount that it is on.
    pub(super) file: Observed<Resolved>,
}

/// The data directories that the node has locked.
pub(super) fn data(host: &dyn Host, instance: &Instance) -> BTreeSet<HostPath> {
    let Some(mut mounts) = Mounts::of(host, instance) else { return BTreeSet::new() };
    let open = targets(host, instance, &mut Vec::new()).into_iter();
    let locks = open.filter(|file| file.path.file_name() == Some(LOCK));
    locks
        // What is not mounted anywhere has lost the name of its directory.
        .filter(|file| {
            let info = file.info(host);
            !matches!(mounts.holding(file, &info), Lies::Nowhere(_))
        })
        .filter_map(|file| data_directory(&file.path))
        .collect()
}

fn data_directory(lock: &HostPath) -> Option<HostPath> {
    let directory = lock.parent()?;
    let is_number = |name: &[u8]| !name.is_empty() && name.iter().all(u8::is_ascii_digit);
    if directory.file_name().is_some_and(is_number)
        && let Some(nodes) = directory.parent()
        && nodes.file_name() == Some(b"nodes")
    {
        return nodes.parent();
    }
    Some(directory)
}

/// Where the program has files open for writing.
pub(super) fn written(host: &dyn Host, instance: &Instance, gaps: &mut Vec<Gap>) -> Written {
    let mut written = Written::default();
    let Some(mut mounts) = Mounts::of(host, instance) else { return written };
    let mut seen = BTreeSet::new();
    for file in targets(host, instance, gaps) {
        let is_own = |prefix: &str| file.path.is_at_or_below(&HostPath::from(prefix));
        if ["/dev", "/proc", "/sys"].iter().any(|prefix| is_own(prefix)) {
            continue;
        }
        let info = file.info(host);
        let Some(directory) = file.path.parent().filter(|_| is_written(&info)) else { continue };
        let name = file.path.file_name().unwrap_or_default();
        let is_log = [&b".log"[..], b".json", b".out"].iter().any(|end| name.ends_with(end));
        let usage = if is_log { Use::Logs } else { Use::Data };
        let is_lock = name == LOCK;
        let named = if is_lock { data_directory(&file.path) } else { None };
        let held = |namespace, file| Held {
            usage,
            directory: named.clone().unwrap_or_else(|| directory.clone()),
            namespace,
            file,
        };
        match mounts.holding(&file, &info) {
            Lies::AsNamed => {
                written.places.insert((usage, directory));
            }
            Lies::On(namespace, id) => {
                // An assumed default is used all the same.
                written.places.insert((usage, directory.clone()));
                if seen.insert((usage, directory.clone(), id)) {
                    let fscrypt = host.follow(&file.link).ok().and_then(|found| found.fscrypt);
                    let at = Resolved { mount_id: Some(id), fscrypt, ..Resolved::at(file.path) };
                    written.held.push(held(namespace, Observed::Known(at)));
                }
            }
            // Memory that was given the form of a file.
            Lies::Nowhere(_) if file.is_unlinked && name.starts_with(b"memfd:") => {}
            Lies::Nowhere(id) => {
                if seen.insert((usage, directory.clone(), id)) {
                    let detail = format!(
                        "{} is open on a mount that is in no mount table: it was unmounted lazily, or belongs to another \
                         mount namespace",
                        file.path
                    );
                    let trouble = Trouble::new(Reason::Unreadable, detail);
                    let namespace = instance.namespace.clone();
                    written.held.push(held(namespace, Observed::Unreadable(trouble)));
                }
            }
        }
    }
    written
}

/// Whether the flags of `/proc/PID/fdinfo/N` say that it is open for writing: `proc_pid_fdinfo(5)`, in octal.
pub(crate) fn is_written(info: &str) -> bool {
    /// `O_WRONLY` and `O_RDWR` are the two low bits.
    const WRITES: u32 = 0o3;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & WRITES != 0)
}

/// A file that is open.
struct OpenFile {
    /// `/proc/PID/fd/N`.
    link: HostPath,
    /// As the process sees it, or did when it had a name.
    path: HostPath,
    is_unlinked: bool,
}

impl OpenFile {
    /// What the kernel says of the descriptor; nothing when it is closed by now.
    fn info(&self, host: &dyn Host) -> String {
        let info = self
            .link
            .parent()
            .and_then(|fd| Some(fd.parent()?.join("fdinfo").join(self.link.file_name()?)));
        info.and_then(|info| read_text(host, &info).ok()).unwrap_or_default()
    }
}

/// Where an open file lies.
enum Lies {
    /// Where its name leads, as far as anybody can tell.
    AsNamed,
    /// On this mount of that namespace, which its name does not lead to.
    On(Namespace, u64),
    /// On a mount, with this id, that nobody sees.
    Nowhere(u64),
}

/// Compares the mounts that files are open on with those that their names lead to now.
struct Mounts<'a> {
    host: &'a dyn Host,
    seen_by: &'a Namespace,
    /// The mounts of names.
    leads_to: BTreeMap<(Namespace, HostPath), Option<u64>>,
    tables: BTreeMap<Namespace, MountTable>,
}

impl<'a> Mounts<'a> {
    /// `None` of what does not run.
    fn of(host: &'a dyn Host, instance: &'a Instance) -> Option<Self> {
        instance.pid.map(|_| Self {
            host,
            seen_by: &instance.namespace,
            leads_to: BTreeMap::new(),
            tables: BTreeMap::new(),
        })
    }

    fn holding(&mut self, file: &OpenFile, info: &str) -> Lies {
        let (Some(id), Some(directory)) = (mount_id_of(info), file.path.parent()) else {
            return Lies::AsNamed;
        };
        let own = self.seen_by.clone();
        let of_directory = self.leads_to(&own, &directory);
        // A file may be mounted by itself.
        if of_directory.is_none_or(|now| now == id) || self.leads_to(&own, &file.path) == Some(id) {
            return Lies::AsNamed;
        }
        let is_its = |mount: &Mount| mount.id == id && file.path.is_at_or_below(&mount.mount_point);
        // systemd opens what a service prints to before it gives it mounts of its own.
        for namespace in [own, Namespace::Host] {
            if self.table(&namespace).known().is_some_and(|table| table.iter().any(is_its)) {
                return Lies::On(namespace, id);
            }
        }
        Lies::Nowhere(id)
    }

    fn table(&mut self, namespace: &Namespace) -> &MountTable {
        let host = self.host;
        self.tables.entry(namespace.clone()).or_insert_with(|| mount_table(host, namespace))
    }

    /// The mount that a name leads to now, or that its nearest parent is on; `None` when that cannot be told.
    fn leads_to(&mut self, namespace: &Namespace, path: &HostPath) -> Option<u64> {
        let key = (namespace.clone(), path.clone());
        if let Some(known) = self.leads_to.get(&key) {
            return *known;
        }
        let resolution = self.host.resolve(namespace, path);
        let found = match resolution.at {
            Observed::Known(found) => Some(found),
            Observed::Absent => resolution.nearest,
            Observed::Unreadable(_) => None,
        };
        let id = found.and_then(|found| {
            found.mount_id.or_else(|| {
                let table = self.table(namespace).known()?;
                Some(Index::new(table).holding(&found.path)?.id)
            })
        });
        self.leads_to.insert(key, id);
        id
    }
}

/// Why what is relative to the working directory of a process may lie elsewhere than its name leads to now.
pub(super) fn hidden_directory(
    host: &dyn Host,
    pid: i32,
    namespace: &Namespace,
    directory: &HostPath,
) -> Option<Trouble> {
    let own = host.follow(&HostPath::from(format!("/proc/{pid}/cwd"))).ok()?.mount_id?;
    let now = host.resolve(namespace, directory).at.known()?.mount_id?;
    (own != now).then(|| {
        let detail = format!(
            "{directory}, the working directory of process {pid}, is on another mount than its name leads to now"
        );
        Trouble::new(Reason::Unreadable, detail)
    })
}

/// What its descriptors lead to, as the process sees it. A file without a name still rests where it had one.
fn targets(host: &dyn Host, instance: &Instance, gaps: &mut Vec<Gap>) -> Vec<OpenFile> {
    let Some(pid) = instance.pid else { return Vec::new() };
    let directory = HostPath::from(format!("/proc/{pid}/fd"));
    let mut troubles = Vec::new();
    let mut names = host.list(&Namespace::Host, &directory).unwrap_or_else(|trouble| {
        troubles.push(trouble);
        Vec::new()
    });
    if names.len() > LIMIT {
        let detail = format!("{} files are open, and only {LIMIT} were looked at", names.len());
        troubles.push(Trouble::new(Reason::Unreadable, detail));
        names.truncate(LIMIT);
    }
    let root = host.read_link(&Namespace::Host, &HostPath::from(format!("/proc/{pid}/root")));
    let root = root.unwrap_or_else(|_| HostPath::root());
    let mut targets = Vec::new();
    for name in names {
        let link = directory.join(name);
        let path = match host.read_link(&Namespace::Host, &link) {
            Ok(path) => path,
            Err(trouble) => {
                troubles.push(trouble);
                continue;
            }
        };
        if path.is_absolute() {
            let named = path.as_bytes().strip_suffix(b" (deleted)");
            let (path, is_unlinked) = match named {
                Some(named) => (HostPath::new(named.to_vec()), true),
                None => (path, false),
            };
            targets.push(OpenFile { link, path: below(&root, path), is_unlinked });
        }
    }
    // It was closed in the meantime, or a recording does not hold it.
    if let Some(trouble) = troubles.iter().find(|trouble| trouble.reason != Reason::NotFound) {
        gaps.push(gap(&format!("open files of process {pid}"), trouble, AS_ROOT));
    }
    targets
}

/// The kernel names files from the root of who asks: what is below another root is so for the process.
fn below(root: &HostPath, path: HostPath) -> HostPath {
    if *root == HostPath::root() || !path.is_at_or_below(root) {
        return path;
    }
    let depth = root.components().count();
    path.components().skip(depth).fold(HostPath::root(), |path, part| path.join(part))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::discovery::process::Environment;
    use crate::host::recorded::RecordedHost;

    fn instance() -> Instance {
        Instance {
            pid: Some(7),
            namespace: Namespace::Process(7),
            container: None,
            run_as: None,
            home: HostPath::root(),
            config: HostPath::root(),
            cwd: HostPath::root(),
            environment: Environment::empty(),
            arguments: Vec::new(),
            is_below_launcher: false,
            unit_files: Vec::new(),
            environment_files: Vec::new(),
            doubt: None,
            cwd_doubt: None,
        }
    }

    /// What process 7 has open for writing, each on a mount of its own table or that of the host.
    fn open(own: &str, hosts: &str, files: &[(&str, u64)]) -> (Written, Vec<Gap>) {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for directory in ["proc/self", "proc/7/fd", "proc/7/fdinfo", "proc/7/root/srv", "srv/es"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        fs::create_dir_all(at("proc/7/root/srv/es")).unwrap();
        fs::write(at("proc/7/mountinfo"), own).unwrap();
        fs::write(at("proc/self/mountinfo"), hosts).unwrap();
        for (number, (path, mount)) in files.iter().enumerate() {
            symlink(path, at(&format!("proc/7/fd/{number}"))).unwrap();
            let info = format!("pos:\t0\nflags:\t0100001\nmnt_id:\t{mount}\n");
            fs::write(at(&format!("proc/7/fdinfo/{number}")), info).unwrap();
        }
        let mut gaps = Vec::new();
        (written(&RecordedHost::new(root.path()), &instance(), &mut gaps), gaps)
    }

    const ROOT: &str = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
    const OVER: &str = "30 20 254:0 / /srv/es rw - ext4 /dev/mapper/c rw\n";

    fn held(written: &Written) -> Vec<(String, &Namespace, Option<u64>)> {
        let one = |held: &'_ Held| held.file.known().and_then(|file| file.mount_id);
        written.held.iter().map(|at| (at.directory.to_string(), &at.namespace, one(at))).collect()
    }

    #[test]
    fn a_file_that_its_name_leads_to_is_no_more_than_a_place() {
        let table = [ROOT, OVER].concat();
        let (written, gaps) = open(&table, &table, &[("/srv/es/node.lock", 30)]);
        assert_eq!(held(&written), []);
        assert_eq!(written.places, BTreeSet::from([(Use::Data, "/srv/es".into())]));
        assert_eq!(gaps, []);
    }

    #[test]
    fn what_was_opened_before_something_was_mounted_over_it_is_held_where_it_is() {
        let table = [ROOT, OVER].concat();
        let files = [("/srv/es/nodes/0/node.lock", 20), ("/srv/es/nodes/0/_0.cfs (deleted)", 20)];
        let (written, _) = open(&table, &table, &files);
        let own = Namespace::Process(7);
        let at = |path: &str| (path.to_owned(), &own, Some(20));
        assert_eq!(held(&written), [at("/srv/es")], "one file of a directory stands for all");
        let file = written.held[0].file.known().unwrap();
        assert_eq!(file.path.to_string(), "/srv/es/nodes/0/node.lock");
    }

    #[test]
    fn what_is_mounted_nowhere_any_more_is_unreadable_and_no_place() {
        let (written, _) = open(ROOT, ROOT, &[("/node.lock", 77), ("/memfd:heap (deleted)", 78)]);
        assert_eq!(written.places, BTreeSet::new());
        assert_eq!(held(&written), [("/".to_owned(), &Namespace::Process(7), None)]);
        assert!(written.held[0].file.trouble().unwrap().detail.contains("/node.lock"));
    }

    #[test]
    fn what_was_opened_on_the_host_is_judged_as_the_host_sees_it() {
        let own = "40 1 8:2 / / rw - ext4 /dev/sda2 rw\n";
        let (written, _) = open(own, ROOT, &[("/srv/es/out.log", 20)]);
        assert_eq!(held(&written), [("/srv/es".to_owned(), &Namespace::Host, Some(20))]);
    }

    #[test]
    fn a_file_may_be_mounted_by_itself() {
        let table = [ROOT, "31 20 8:2 /x.log /srv/es/x.log rw - ext4 /dev/sda2 rw\n"].concat();
        let (written, _) = open(&table, &table, &[("/srv/es/x.log", 31)]);
        assert_eq!(held(&written), []);
    }

    #[test]
    fn descriptors_that_cannot_be_read_are_a_gap() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/7/fd/3")).unwrap();
        let mut gaps = Vec::new();
        let host = RecordedHost::new(root.path());
        assert_eq!(targets(&host, &instance(), &mut gaps).len(), 0);
        assert_eq!(gaps[0].subject, "open files of process 7");
    }

    #[test]
    fn a_lock_tells_its_data_directory() {
        let of = |lock: &str| data_directory(&HostPath::from(lock)).map(|path| path.to_string());
        assert_eq!(of("/srv/es/node.lock").as_deref(), Some("/srv/es"));
        assert_eq!(of("/srv/es/nodes/0/node.lock").as_deref(), Some("/srv/es"));
        assert_eq!(of("/srv/nodes/node.lock").as_deref(), Some("/srv/nodes"));
    }

    #[test]
    fn flags_tell_who_writes() {
        assert!(is_written("pos:\t0\nflags:\t0100001\nmnt_id:\t25\n"));
        assert!(is_written("flags:\t0102002"));
        assert!(!is_written("flags:\t0100000"));
        assert!(!is_written("pos:\t3\n") && !is_written("flags:\tx"));
    }

    #[test]
    fn another_root_is_taken_off() {
        let below = |root: &str, path: &str| below(&root.into(), path.into()).to_string();
        assert_eq!(below("/srv/jail", "/srv/jail/var/x"), "/var/x");
        assert_eq!(below("/srv/jail", "/srv/jailor/x"), "/srv/jailor/x");
        assert_eq!(below("/", "/var/x"), "/var/x");
    }
}
