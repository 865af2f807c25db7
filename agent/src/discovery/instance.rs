//! One instance of a product: a running program, or an installation that does not run.

use atrest_proto::model::{Gap, Reason};

use super::process::{self, Environment, Process, Status, gap};
use crate::accounts::Accounts;
use crate::host::Host;
use crate::keystore::Account;
use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};

/// What to do where something may not be read.
pub(super) const AS_ROOT: &str = "run the agent as root";

/// What every product knows of an instance before it reads its settings.
pub(super) struct Instance {
    pub(super) pid: Option<i32>,
    pub(super) namespace: Namespace,
    /// The id of the container that it runs in.
    pub(super) container: Option<String>,
    pub(super) run_as: Option<Account>,
    pub(super) home: HostPath,
    /// The configuration directory.
    pub(super) config: HostPath,
    /// What relative paths are relative to.
    pub(super) cwd: HostPath,
    pub(super) environment: Environment,
    /// Of the program and of what launched it, in the order in which later ones win.
    pub(super) arguments: Vec<Vec<u8>>,
    /// It is the child of a launcher, seen or gone: its environment is not all that it was started with.
    pub(super) is_below_launcher: bool,
    /// The unit that would start it, with what is dropped in.
    pub(super) unit_files: Vec<HostPath>,
    /// Files that its environment is read from.
    pub(super) environment_files: Vec<HostPath>,
    /// Why its configuration directory may be another one.
    pub(super) doubt: Option<Trouble>,
    /// Why what is relative to its working directory may lie elsewhere.
    pub(super) cwd_doubt: Option<Trouble>,
}

/// What the kernel tells of a running program, whatever product it is.
pub(super) struct Running {
    pub(super) pid: i32,
    pub(super) namespace: Namespace,
    pub(super) container: Option<String>,
    pub(super) run_as: Option<Account>,
    pub(super) cwd: Option<HostPath>,
    /// Empty where it could not be read, with why.
    pub(super) environment: Environment,
    pub(super) environment_trouble: Option<Trouble>,
}

impl Running {
    /// What the kernel tells of `process`; `None` when it has ended since the table was read.
    pub(super) fn of(
        host: &dyn Host,
        product: &str,
        process: &Process,
        gaps: &mut Vec<Gap>,
    ) -> Option<Self> {
        let pid = process.pid;
        let status = match process::status(host, pid) {
            Ok(status) => Some(status),
            Err(trouble) if trouble.reason == Reason::NotFound && host.is_live() => return None,
            Err(trouble) => {
                gaps.push(gap(&format!("process {pid} ({product})"), &trouble, ""));
                None
            }
        };
        let namespace = process::namespace(host, pid, gaps);
        let (environment, environment_trouble) = match Environment::of(host, pid) {
            Ok(environment) => (environment, None),
            Err(trouble) => (Environment::empty(), Some(trouble)),
        };
        let link = HostPath::from(format!("/proc/{pid}/cwd"));
        Some(Self {
            pid,
            run_as: status.map(|status| account(host, &namespace, status)),
            container: process::container(host, pid),
            cwd: host.read_link(&Namespace::Host, &link).ok(),
            namespace,
            environment,
            environment_trouble,
        })
    }
}

/// The account of that name on the host, with its primary group or the one named.
pub(super) fn account_named(host: &dyn Host, user: &str, group: Option<&str>) -> Option<Account> {
    let accounts = Accounts::read(host, &Namespace::Host).unwrap_or_default();
    let (uid, primary) = accounts.named(user)?;
    let gid = group.and_then(|group| accounts.group_named(group)).unwrap_or(primary);
    Some(Account { uid, gid, user: user.to_owned(), group: accounts.group(gid) })
}

/// The account that a process runs as, by the names of its own root.
fn account(host: &dyn Host, namespace: &Namespace, status: Status) -> Account {
    account_numbered(host, namespace, status.uid, status.gid)
}

/// Who an archive in `home` runs as: whoever owns the data that it wrote there. `None` before it was started, for who unpacked it
/// may not be who runs it, and for root, as which the product does not run.
pub(super) fn account_of_archive(host: &dyn Host, home: &HostPath) -> Option<Account> {
    let metadata = host.metadata(&Namespace::Host, &home.join("data"), true).ok()?;
    (metadata.uid != 0)
        .then(|| account_numbered(host, &Namespace::Host, metadata.uid, metadata.gid))
}

/// The account of these numbers, by the names that whoever looks has for them.
pub(super) fn account_numbered(
    host: &dyn Host,
    namespace: &Namespace,
    uid: u32,
    gid: u32,
) -> Account {
    let accounts = Accounts::read(host, namespace).unwrap_or_default();
    Account { uid, gid, user: accounts.user(uid), group: accounts.group(gid) }
}

/// As `Path.toAbsolutePath().normalize()` of Java: `..` goes by the text, before any symbolic link.
pub(crate) fn absolute(cwd: &HostPath, path: &HostPath) -> HostPath {
    let joined = cwd.join(path.as_bytes());
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in joined.components() {
        if part == b".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.iter().fold(HostPath::root(), |path, part| path.join(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_dot_goes_by_the_text() {
        let absolute =
            |path: &str| absolute(&HostPath::from("/home"), &HostPath::from(path)).to_string();
        assert_eq!(absolute("data"), "/home/data");
        assert_eq!(absolute("/a/link/../b/."), "/a/b");
        assert_eq!(absolute("../../.."), "/");
    }

    #[test]
    fn an_archive_runs_as_the_owner_of_its_data() {
        use crate::host::recorded::RecordedHost;
        use std::os::unix::fs::MetadataExt as _;
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("opt/es/data");
        let host = RecordedHost::new(root.path());
        let of = || account_of_archive(&host, &"/opt/es".into()).map(|account| account.uid);
        assert_eq!(of(), None);
        std::fs::create_dir_all(&data).unwrap();
        let own = std::fs::metadata(&data).unwrap().uid();
        assert_eq!(of(), (own != 0).then_some(own));
        // Only root may give it away.
        if std::os::unix::fs::chown(&data, Some(1000), Some(1000)).is_ok() {
            assert_eq!(of(), Some(1000));
        }
    }
}
