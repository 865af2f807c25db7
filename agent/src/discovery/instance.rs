//! One instance of a product: a running program, or an installation that does not run.

use super::process::{Environment, Status};
use crate::accounts::Accounts;
use crate::host::Host;
use crate::keystore::Account;
use crate::path::HostPath;
use crate::snapshot::Namespace;

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
}

/// The account that a process runs as, by the names of its own root.
pub(super) fn account(host: &dyn Host, namespace: &Namespace, status: Status) -> Account {
    let accounts = Accounts::read(host, namespace).unwrap_or_default();
    Account {
        uid: status.uid,
        gid: status.gid,
        user: accounts.user(status.uid),
        group: accounts.group(status.gid),
    }
}

/// As `Path.toAbsolutePath().normalize()` of Java: `..` goes by the text, before any symbolic link.
pub(super) fn absolute(cwd: &HostPath, path: &HostPath) -> HostPath {
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
}
