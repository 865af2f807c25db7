//! Who may do what with a file, and the directories that a path leads through.

use std::collections::BTreeSet;

use atrest_proto::model::Reason;
use serde::{Deserialize, Serialize};

use super::Account;
use super::acl::{self, Entry, Who};
use super::ids::{self, Map, Maps};
use crate::accounts::Accounts;
use crate::host::{Host, Metadata, way};
use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};

/// Who may do what with a file or directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub metadata: Metadata,
    pub owner: String,
    pub group: String,
    /// The user namespace of the service has no id for the owner: whose it is there is not known.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_owner_unmapped: bool,
    /// Nor for the group.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_group_unmapped: bool,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// An access-control entry, and what it reads like in `getfacl`, such as `user:eve:rw-`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedEntry {
    pub entry: Entry,
    pub text: String,
    /// Who is in the group that it is for, root aside; at most [`MOST_MEMBERS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
}

/// More are not told apart.
pub const MOST_MEMBERS: usize = 64;

/// A directory on the way to a keystore: who can write it can replace what it leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    pub path: HostPath,
    pub access: Access,
}

/// A look at files as a process sees them, with its accounts. What fails is kept.
pub struct Looker<'a> {
    pub host: &'a dyn Host,
    pub seen_by: &'a Namespace,
    pub accounts: Accounts,
    pub troubles: Vec<Trouble>,
    view: View,
}

/// How the ids of files relate to those that the accounts have.
enum View {
    Same,
    /// The accounts are those of a user namespace, and the files are seen from outside of it.
    Inside(Maps),
    /// Which id stands for which is not known, and said to be so.
    Unknown,
}

/// What the service's user namespace makes of the ids of its files, as seen from here.
fn view(host: &dyn Host, seen_by: &Namespace) -> Result<View, Trouble> {
    let Namespace::Process(pid) = seen_by else { return Ok(View::Same) };
    // In the agent's own namespace the ids are those that it sees; the map would tell how it relates to the one above.
    let link =
        |of: &str| host.read_link(&Namespace::Host, &HostPath::from(format!("/proc/{of}/ns/user")));
    if host.is_live()
        && host.sees_own_root()
        && let (Ok(theirs), Ok(own)) = (link(&pid.to_string()), link("self"))
        && theirs == own
    {
        return Ok(View::Same);
    }
    let read = |name: &str| {
        let path = HostPath::from(format!("/proc/{pid}/{name}"));
        match host.read(&Namespace::Host, &path, ids::MAX_SIZE) {
            Ok(text) => Map::parse(&text)
                .map(Some)
                .map_err(|error| Trouble::new(Reason::Unreadable, format!("{path}: {error}"))),
            // A kernel without user namespaces, or a recording that does not hold it.
            Err(trouble) if trouble.reason == Reason::NotFound => Ok(None),
            Err(trouble) => Err(trouble),
        }
    };
    match (read("uid_map")?, read("gid_map")?) {
        (None, None) => Ok(View::Same),
        (users, groups) => {
            let maps = Maps {
                users: users.unwrap_or_else(Map::nothing),
                groups: groups.unwrap_or_else(Map::nothing),
            };
            Ok(if maps.is_identity() { View::Same } else { View::Inside(maps) })
        }
    }
}

impl<'a> Looker<'a> {
    pub fn new(host: &'a dyn Host, seen_by: &'a Namespace) -> Self {
        let mut troubles = Vec::new();
        let accounts = Accounts::read(host, seen_by).unwrap_or_else(|trouble| {
            troubles.push(trouble);
            Accounts::default()
        });
        let view = view(host, seen_by).unwrap_or_else(|trouble| {
            troubles.push(trouble);
            View::Unknown
        });
        Self { host, seen_by, accounts, troubles, view }
    }

    /// The ids of files say nothing, for this reason.
    pub fn distrust_ids(&mut self, why: Trouble) {
        self.troubles.push(why);
        self.view = View::Unknown;
    }

    /// The account of these ids, which were seen as those of files are.
    pub fn account(&mut self, account: Account) -> Option<Account> {
        let View::Inside(maps) = &self.view else { return Some(account) };
        let Some((uid, gid)) = maps.users.inside(account.uid).zip(maps.groups.inside(account.gid))
        else {
            let Account { uid, gid, .. } = account;
            let detail =
                format!("the service runs as {uid}:{gid}, which its user namespace has no ids for");
            self.distrust_ids(Trouble::new(Reason::Unreadable, detail));
            return None;
        };
        Some(Account { uid, gid, user: self.accounts.user(uid), group: self.accounts.group(gid) })
    }

    /// An id as the accounts have it; what has none is said.
    fn id(&mut self, path: &HostPath, who: Who) -> Option<u32> {
        let (Who::User(id) | Who::Group(id)) = who;
        let (kind, inside) = match (&self.view, who) {
            (View::Same, _) => return Some(id),
            (View::Unknown, _) => return None,
            (View::Inside(maps), Who::User(_)) => ("user", maps.users.inside(id)),
            (View::Inside(maps), Who::Group(_)) => ("group", maps.groups.inside(id)),
        };
        if inside.is_none() {
            let detail =
                format!("{path}: {kind} {id} has no id in the user namespace of the service");
            self.troubles.push(Trouble::new(Reason::Unreadable, detail));
        }
        inside
    }

    /// Who may do what with the file, whose metadata is this.
    pub fn access(&mut self, path: &HostPath, mut metadata: Metadata) -> Access {
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
        let mut entries = Vec::new();
        for entry in list.entries {
            // Of one that is left out it was said.
            let Some(id) = self.id(path, entry.who) else { continue };
            let (who, members) = match entry.who {
                Who::User(_) => (Who::User(id), BTreeSet::new()),
                Who::Group(_) => (Who::Group(id), self.accounts.members(id)),
            };
            let entry = Entry { who, ..entry };
            let text = acl::describe(entry, &self.accounts);
            let members = members.into_iter().take(MOST_MEMBERS).collect();
            entries.push(NamedEntry { entry, text, members });
        }
        let uid = self.id(path, Who::User(metadata.uid));
        let gid = self.id(path, Who::Group(metadata.gid));
        metadata.uid = uid.unwrap_or(metadata.uid);
        metadata.gid = gid.unwrap_or(metadata.gid);
        let members = gid.map(|gid| self.accounts.members(gid)).unwrap_or_default();
        let named = |id: Option<u32>, number: u32, name: fn(&Accounts, u32) -> String| {
            id.map_or_else(|| number.to_string(), |id| name(&self.accounts, id))
        };
        Access {
            owner: named(uid, metadata.uid, Accounts::user),
            group: named(gid, metadata.gid, Accounts::group),
            is_owner_unmapped: uid.is_none(),
            is_group_unmapped: gid.is_none(),
            group_rights: list.group.map_or((metadata.mode >> 3) & 7, u32::from),
            members: members.into_iter().take(MOST_MEMBERS).collect(),
            members_elsewhere: self.accounts.elsewhere().iter().cloned().collect(),
            entries,
            metadata,
        }
    }

    /// Every directory that a lookup of `path` goes through, those of symbolic links as well: the last one first.
    pub fn way(&mut self, path: &HostPath) -> Vec<Directory> {
        let way = way::walk(self.host, self.seen_by, path);
        self.troubles.extend(way.trouble);
        let mut directories: Vec<Directory> = Vec::new();
        for path in way.steps.into_iter().rev().map(|step| step.directory) {
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
}
