//! The process table, as far as discovery needs it: argument lists, parents, accounts, namespaces.
//!
//! Argument lists and environments may hold secrets. They live as long as the discovery and are never stored.

use std::collections::BTreeMap;

use atrest_proto::model::{Gap, Reason};
use zeroize::Zeroizing;

use crate::host::{FileKind, Host};
use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};

/// The kernel allows an argument list and environment of 6 MiB together at most.
const ARGUMENTS: usize = 6 << 20;
const STATUS: usize = 64 << 10;

/// A running program.
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) argv: Vec<Vec<u8>>,
}

/// What `/proc/PID/status` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(super) parent: i32,
    /// Effective.
    pub(super) uid: u32,
    /// Effective.
    pub(super) gid: u32,
}

/// An environment: looked into by name, never kept or shown.
pub(super) struct Environment(Zeroizing<Vec<u8>>);

impl Environment {
    /// One without variables.
    pub(super) fn empty() -> Self {
        Self(Zeroizing::new(Vec::new()))
    }

    /// The environment that such assignments make: of one name the last counts.
    pub(super) fn from_pairs<'a>(
        pairs: impl DoubleEndedIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut bytes = Zeroizing::new(Vec::new());
        for (name, value) in pairs.rev() {
            for part in [name, "=", value, "\0"] {
                bytes.extend_from_slice(part.as_bytes());
            }
        }
        Self(bytes)
    }

    /// The environment that process `pid` was started with.
    pub(super) fn of(host: &dyn Host, pid: i32) -> Result<Self, Trouble> {
        let path = HostPath::from(format!("/proc/{pid}/environ"));
        host.read(&Namespace::Host, &path, ARGUMENTS).map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// Every variable that is text.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = self.0.split(|byte| *byte == 0).filter_map(|one| std::str::from_utf8(one).ok());
        texts.filter_map(|variable| variable.split_once('='))
    }

    /// The value of one variable, when it is text.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let value = self
            .0
            .split(|byte| *byte == 0)
            .find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        String::from_utf8(value.to_vec()).ok()
    }
}

/// The processes with arguments that `is_wanted`, by pid.
pub(super) fn table(
    host: &dyn Host,
    is_wanted: &dyn Fn(&[Vec<u8>]) -> bool,
    gaps: &mut Vec<Gap>,
) -> BTreeMap<i32, Process> {
    let mut processes = BTreeMap::new();
    let names = match host.list(&Namespace::Host, &HostPath::from("/proc")) {
        Ok(names) => names,
        Err(trouble) => {
            gaps.push(gap("/proc", &trouble, "mount /proc where the agent runs"));
            return processes;
        }
    };
    let mut sees_init = false;
    let mut refused = None;
    for name in names {
        let Some(pid) = std::str::from_utf8(&name).ok().and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        sees_init |= pid == 1;
        match host.read(
            &Namespace::Host,
            &HostPath::from(format!("/proc/{pid}/cmdline")),
            ARGUMENTS,
        ) {
            Ok(bytes) => {
                let argv: Vec<Vec<u8>> = bytes
                    .split(|byte| *byte == 0)
                    .filter(|argument| !argument.is_empty())
                    .map(<[u8]>::to_vec)
                    .collect();
                if is_wanted(&argv) {
                    processes.insert(pid, Process { pid, argv });
                }
            }
            // It ended in the meantime.
            Err(trouble) if trouble.reason == Reason::NotFound => {}
            Err(trouble) => refused = Some(trouble),
        }
    }
    if let Some(trouble) = refused {
        gaps.push(gap("argument lists of some processes", &trouble, "run the agent as root"));
    } else if !sees_init && host.is_live() {
        let trouble =
            Trouble::new(Reason::NoPermission, "other users' processes are hidden (hidepid)");
        gaps.push(gap("/proc", &trouble, "run the agent as root"));
    }
    processes
}

/// Whether one of the arguments has `part` in it.
pub(super) fn mentions(argv: &[Vec<u8>], part: &str) -> bool {
    argv.iter().any(|argument| argument.windows(part.len()).any(|found| found == part.as_bytes()))
}

/// What `/proc/PID/status` says of a process.
pub(super) fn status(host: &dyn Host, pid: i32) -> Result<Status, Trouble> {
    let path = HostPath::from(format!("/proc/{pid}/status"));
    let bytes = host.read(&Namespace::Host, &path, STATUS)?;
    parse_status(&String::from_utf8_lossy(&bytes)).ok_or_else(|| {
        Trouble::new(Reason::Unreadable, format!("{path}: without PPid, Uid or Gid"))
    })
}

pub(crate) fn parse_status(text: &str) -> Option<Status> {
    let field = |name: &str, column: usize| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().nth(column)
    };
    Some(Status {
        parent: field("PPid:", 0)?.parse().ok()?,
        uid: field("Uid:", 1)?.parse().ok()?,
        gid: field("Gid:", 1)?.parse().ok()?,
    })
}

/// Whose eyes the paths of a process are to be seen with.
///
/// Its own, when its mount namespace or its root directory is not the one that the host is looked at with.
pub(super) fn namespace(host: &dyn Host, pid: i32, gaps: &mut Vec<Gap>) -> Namespace {
    let link = |path: String| host.read_link(&Namespace::Host, &HostPath::from(path));
    // A recording has the root of another namespace as a directory.
    let recorded = HostPath::from(format!("/proc/{pid}/root"));
    let has_own_files = !host.is_live()
        && host
            .metadata(&Namespace::Host, &recorded, false)
            .is_ok_and(|metadata| metadata.kind == FileKind::Directory);
    if has_own_files {
        return Namespace::Process(pid);
    }
    let own = link(format!("/proc/{pid}/ns/mnt"));
    // `Namespace::Host` is what this agent sees, which may be in a namespace of its own, unless it looks at
    // another root: then it is what that root's first process sees.
    let is_own = host.is_live() && host.sees_own_root();
    let reference = link(if is_own { "/proc/self/ns/mnt" } else { "/proc/1/ns/mnt" }.to_owned());
    let root = link(format!("/proc/{pid}/root"));
    match is_hosts(&own, &reference, &root) {
        Ok(true) => Namespace::Host,
        Ok(false) => Namespace::Process(pid),
        // What a recording does not hold was not different, as far as anybody can tell.
        Err(trouble) if trouble.reason == Reason::NotFound && !host.is_live() => Namespace::Host,
        // What the host sees under its paths may be other files: they are looked at through the process, which shows what
        // may not be seen.
        Err(trouble) => {
            let subject = format!("mount namespace of process {pid}");
            gaps.push(gap(&subject, &trouble, "run the agent as root"));
            Namespace::Process(pid)
        }
    }
}

type Link = Result<HostPath, Trouble>;

fn is_hosts(own: &Link, reference: &Link, root: &Link) -> Result<bool, Trouble> {
    let is_known_to_differ = matches!((own, reference), (Ok(own), Ok(reference)) if own != reference)
        || matches!(root, Ok(root) if *root != HostPath::root());
    if is_known_to_differ {
        return Ok(false);
    }
    match (own, reference, root) {
        (Ok(_), Ok(_), Ok(_)) => Ok(true),
        (Err(trouble), ..) | (_, Err(trouble), _) | (.., Err(trouble)) => Err(trouble.clone()),
    }
}

/// The id of the container that a process is in, from its control group; the first twelve digits.
pub(super) fn container(host: &dyn Host, pid: i32) -> Option<String> {
    let path = HostPath::from(format!("/proc/{pid}/cgroup"));
    let bytes = host.read(&Namespace::Host, &path, STATUS).ok()?;
    container_id(&String::from_utf8_lossy(&bytes))
}

/// Docker, containerd, CRI-O and podman all name control groups after the 64 digits of the container.
pub(crate) fn container_id(cgroup: &str) -> Option<String> {
    long_container_id(cgroup).and_then(|id| id.get(..12)).map(str::to_owned)
}

fn long_container_id(cgroup: &str) -> Option<&str> {
    cgroup.split(|character: char| !character.is_ascii_hexdigit()).find(|word| word.len() == 64)
}

/// What a control group says of the container that a process is in.
pub(super) struct Cgroup {
    /// The 64 digits of the container.
    pub(super) container: String,
    /// The UID of the pod, with dashes.
    pub(super) pod: Option<String>,
}

/// The container that process `pid` is in.
pub(super) fn cgroup(host: &dyn Host, pid: i32) -> Option<Cgroup> {
    let path = HostPath::from(format!("/proc/{pid}/cgroup"));
    let bytes = host.read(&Namespace::Host, &path, STATUS).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Some(Cgroup { container: long_container_id(&text)?.to_owned(), pod: pod_uid(&text) })
}

/// `kubepods-burstable-pod6d2f…_….slice` or `kubepods/burstable/pod6d2f…-…`: the UID, with dashes.
pub(crate) fn pod_uid(cgroup: &str) -> Option<String> {
    /// Of a UUID with its dashes.
    const LENGTH: usize = 36;
    cgroup.match_indices("pod").find_map(|(at, _)| {
        let uid = cgroup.get(at + 3..at + 3 + LENGTH)?.replace('_', "-");
        let is_uuid = uid.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
        is_uuid.then_some(uid)
    })
}

/// A gap for a trouble.
pub(super) fn gap(subject: &str, trouble: &Trouble, remedy: &str) -> Gap {
    Gap {
        subject: subject.to_owned(),
        reason: trouble.reason,
        detail: trouble.detail.clone(),
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "links are what is read, and may be refused")]
    fn link(text: &str) -> Link {
        Ok(HostPath::from(text))
    }

    fn refused() -> Link {
        Err(Trouble::new(Reason::NoPermission, "Permission denied"))
    }

    #[test]
    fn a_namespace_is_the_hosts_only_when_all_three_links_say_so() {
        assert_eq!(is_hosts(&link("mnt:[1]"), &link("mnt:[1]"), &link("/")), Ok(true));
        assert_eq!(is_hosts(&link("mnt:[2]"), &link("mnt:[1]"), &link("/")), Ok(false));
        assert_eq!(is_hosts(&link("mnt:[1]"), &link("mnt:[1]"), &link("/srv/jail")), Ok(false));
        assert!(is_hosts(&refused(), &link("mnt:[1]"), &link("/")).is_err());
        assert!(is_hosts(&link("mnt:[1]"), &link("mnt:[1]"), &refused()).is_err());
        // One difference decides, whatever else could not be read.
        assert_eq!(is_hosts(&refused(), &refused(), &link("/srv/jail")), Ok(false));
    }

    #[test]
    fn a_namespace_that_may_not_be_asked_for_is_not_taken_for_the_hosts() {
        use crate::host::recorded::RecordedHost;
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("proc/1/ns")).unwrap();
        std::os::unix::fs::symlink("mnt:[1]", at("proc/1/ns/mnt")).unwrap();
        // Nobody can read a directory as a link.
        std::fs::create_dir_all(at("proc/7/ns/mnt")).unwrap();
        let mut gaps = Vec::new();
        let seen_by = namespace(&RecordedHost::new(root.path()), 7, &mut gaps);
        assert_eq!(seen_by, Namespace::Process(7));
        assert_eq!(gaps[0].subject, "mount namespace of process 7");
    }

    #[test]
    fn the_status_gives_effective_ids() {
        let text = "Name:\tjava\nPPid:\t41\nUid:\t0\t101\t101\t101\nGid:\t0\t102\t102\t102\n";
        assert_eq!(parse_status(text), Some(Status { parent: 41, uid: 101, gid: 102 }));
        assert_eq!(parse_status("Name:\tjava\n"), None);
    }

    #[test]
    fn an_environment_is_asked_by_whole_names() {
        let environment =
            Environment(Zeroizing::new(b"ES_PATH=/no\0ES_PATH_CONF=/etc/es\0".to_vec()));
        assert_eq!(environment.get("ES_PATH_CONF").as_deref(), Some("/etc/es"));
        assert_eq!(environment.get("PATH_CONF"), None);
    }

    #[test]
    fn of_assigned_variables_the_last_counts() {
        let environment =
            Environment::from_pairs([("A", "1"), ("B", "x y"), ("A", "2")].into_iter());
        assert_eq!(environment.get("A").as_deref(), Some("2"));
        assert_eq!(environment.get("B").as_deref(), Some("x y"));
        assert_eq!(environment.get("C"), None);
    }

    #[test]
    fn a_container_is_known_by_its_64_digits() {
        let id = "4f".repeat(32);
        for line in [
            format!("0::/system.slice/docker-{id}.scope"),
            format!("12:cpu:/docker/{id}"),
            format!("0::/kubepods.slice/kubepods-pod0a1b.slice/cri-containerd-{id}.scope"),
        ] {
            assert_eq!(container_id(&line).as_deref(), Some("4f4f4f4f4f4f"));
        }
        assert_eq!(container_id("0::/system.slice/elasticsearch.service"), None);
    }

    #[test]
    fn a_pod_is_known_by_its_uid_in_either_spelling() {
        let uid = "6d2f1a3b-0c4d-4e5f-8a9b-0123456789ab";
        for cgroup in [
            format!(
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice/x",
                uid.replace('-', "_")
            ),
            format!("11:memory:/kubepods/besteffort/pod{uid}/4f4f"),
        ] {
            assert_eq!(pod_uid(&cgroup).as_deref(), Some(uid));
        }
        assert_eq!(pod_uid("0::/machine.slice/libpod-4f4f.scope"), None);
        assert_eq!(pod_uid("0::/podé-6d2f1a3b-0c4d-4e5f-8a9b-0123456789ab"), None);
    }
}
