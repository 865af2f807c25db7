//! Who may do what with a file, and the directories that a path leads through.

use std::collections::VecDeque;

use atrest_proto::model::Reason;
use serde::{Deserialize, Serialize};

use super::acl::{self, Entry};
use crate::accounts::Accounts;
use crate::host::{FileKind, Host, Metadata};
use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};

/// Who may do what with a file or directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub metadata: Metadata,
    pub owner: String,
    pub group: String,
    /// What the owning group may do, `0..=7`: of a file with an access-control list not what the mode shows.
    pub group_rights: u32,
    /// Who is in the group, root aside; at most [`MOST_MEMBERS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// Directory services that may know more members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members_elsewhere: Vec<String>,
    /// The access-control entries beyond owner, group and others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<NamedEntry>,
}

/// An access-control entry, and what it reads like in `getfacl`, such as `user:eve:rw-`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedEntry {
    pub entry: Entry,
    pub text: String,
}

/// More are not told apart.
pub const MOST_MEMBERS: usize = 64;

/// A directory on the way to a keystore: who can write it can replace what it leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    pub path: HostPath,
    pub access: Access,
}

/// As the kernel's `MAXSYMLINKS`, in `include/linux/namei.h`.
const MAX_LINKS: usize = 40;

/// `PATH_MAX` has room for as many components.
const MAX_STEPS: usize = 2048;

/// A look at files as a process sees them, with its accounts. What fails is kept.
pub struct Looker<'a> {
    pub host: &'a dyn Host,
    pub seen_by: &'a Namespace,
    pub accounts: Accounts,
    pub troubles: Vec<Trouble>,
}

impl<'a> Looker<'a> {
    pub fn new(host: &'a dyn Host, seen_by: &'a Namespace) -> Self {
        let (accounts, troubles) = match Accounts::read(host, seen_by) {
            Ok(accounts) => (accounts, Vec::new()),
            Err(trouble) => (Accounts::default(), vec![trouble]),
        };
        Self { host, seen_by, accounts, troubles }
    }

    /// Who may do what with the file, whose metadata is this.
    pub fn access(&mut self, path: &HostPath, metadata: Metadata) -> Access {
        let list = match self.host.attribute(self.seen_by, path, acl::ATTRIBUTE) {
            Ok(None) => acl::List::default(),
            Ok(Some(attribute)) => acl::parse(&attribute).unwrap_or_else(|error| {
                let detail = format!("{path}: {error}");
                self.troubles.push(Trouble::new(Reason::Unreadable, detail));
                acl::List::default()
            }),
            Err(trouble) => {
                self.troubles.push(trouble);
                acl::List::default()
            }
        };
        let named = |entry| NamedEntry { entry, text: acl::describe(entry, &self.accounts) };
        let members = self.accounts.members(metadata.gid).into_iter().take(MOST_MEMBERS).collect();
        Access {
            owner: self.accounts.user(metadata.uid),
            group: self.accounts.group(metadata.gid),
            group_rights: list.group.map_or((metadata.mode >> 3) & 7, u32::from),
            members,
            members_elsewhere: self.accounts.elsewhere().iter().cloned().collect(),
            entries: list.entries.into_iter().map(named).collect(),
            metadata,
        }
    }

    /// Every directory that a lookup of `path` goes through, those of symbolic links as well: the last one first.
    pub fn way(&mut self, path: &HostPath) -> Vec<Directory> {
        let mut seen: Vec<HostPath> = self.steps(path);
        seen.reverse();
        let mut directories: Vec<Directory> = Vec::new();
        for path in seen {
            // The root of a recording is a directory of whoever keeps it, not the host's.
            let is_elsewhere = path == HostPath::root() && !self.host.is_live();
            if is_elsewhere || directories.iter().any(|known| known.path == path) {
                continue;
            }
            match self.host.metadata(self.seen_by, &path, true) {
                Ok(metadata) => {
                    let access = self.access(&path, metadata);
                    directories.push(Directory { path, access });
                }
                Err(trouble) => self.troubles.push(trouble),
            }
        }
        directories
    }

    /// The directories in which each component is looked up, in order.
    fn steps(&mut self, path: &HostPath) -> Vec<HostPath> {
        let mut todo: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        let (mut at, mut steps, mut links) = (HostPath::root(), Vec::new(), 0);
        while let Some(part) = todo.pop_front() {
            if part == b".." {
                at = at.parent().unwrap_or_else(HostPath::root);
                continue;
            }
            steps.push(at.clone());
            let next = at.join(&part);
            let is_link = match self.host.metadata(self.seen_by, &next, false) {
                Ok(metadata) => metadata.kind == FileKind::Symlink,
                Err(trouble) => {
                    self.troubles.push(trouble);
                    break;
                }
            };
            if !is_link {
                at = next;
                continue;
            }
            links += 1;
            if links > MAX_LINKS || steps.len() > MAX_STEPS {
                let detail = format!("{path}: more than {MAX_LINKS} symbolic links");
                self.troubles.push(Trouble::new(Reason::Unreadable, detail));
                break;
            }
            match self.host.read_link(self.seen_by, &next) {
                Ok(target) => {
                    if target.is_absolute() {
                        at = HostPath::root();
                    }
                    for part in target.components().rev() {
                        todo.push_front(part.to_vec());
                    }
                }
                Err(trouble) => {
                    self.troubles.push(trouble);
                    break;
                }
            }
        }
        steps
    }
}
