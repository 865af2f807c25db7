//! The names of users and groups, as `/etc/passwd` and `/etc/group` of one root have them.
//!
//! Accounts of a directory service are not there; they keep their numbers as names.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::Reason;

use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::{Namespace, Trouble};

/// The names by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
    /// The number of a user and of its primary group, by name.
    by_name: BTreeMap<String, (u32, u32)>,
    /// The names in the last field of a group's line.
    listed: BTreeMap<u32, BTreeSet<String>>,
}

/// Distributions give numbers below this to accounts of their own, such as `sync`, whose primary group is root's.
const FIRST_FREE: u32 = 100;

impl Accounts {
    /// The accounts that a process in `seen_by` sees. A missing file has no accounts.
    pub fn read(host: &dyn Host, seen_by: &Namespace) -> Result<Self, Trouble> {
        /// Generous for a file that is read whole on every login.
        const LIMIT: usize = 4 << 20;
        let read = |path: &str| match host.read(seen_by, &HostPath::from(path), LIMIT) {
            Err(trouble) if trouble.reason == Reason::NotFound => Ok(Vec::new()),
            result => result,
        };
        Ok(Self::parse(&read("/etc/passwd")?, &read("/etc/group")?))
    }

    /// The accounts in the text of the two files. See `passwd(5)` and `group(5)`.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let mut accounts = Self::default();
        for line in String::from_utf8_lossy(passwd).lines() {
            let mut fields = line.split(':');
            let (Some(name), Some(uid), Some(gid)) = (fields.next(), fields.nth(1), fields.next())
            else {
                continue;
            };
            let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse()) else { continue };
            // The first entry of a number or name is the one that lookups find.
            accounts.users.entry(uid).or_insert_with(|| name.to_owned());
            accounts.by_name.entry(name.to_owned()).or_insert((uid, gid));
        }
        for line in String::from_utf8_lossy(group).lines() {
            let mut fields = line.split(':');
            let (Some(name), Some(Ok(gid))) = (fields.next(), fields.nth(1).map(str::parse)) else {
                continue;
            };
            accounts.groups.entry(gid).or_insert_with(|| name.to_owned());
            let members = fields.next().unwrap_or_default().split(',').map(str::trim);
            let members = members.filter(|member| !member.is_empty()).map(str::to_owned);
            accounts.listed.entry(gid).or_default().extend(members);
        }
        accounts
    }

    /// The user's name, or its number where it has none.
    pub fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }

    /// The group's name, or its number where it has none.
    pub fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_else(|| gid.to_string())
    }

    /// The number of the group of that name.
    pub fn group_named(&self, group: &str) -> Option<u32> {
        self.groups.iter().find(|(_, name)| *name == group).map(|(gid, _)| *gid)
    }

    /// Who is in a group, root aside: as a member that is listed, or because it is the user's primary group. Members that
    /// only a directory service knows are not there.
    pub fn members(&self, gid: u32) -> BTreeSet<String> {
        let primary = self
            .by_name
            .iter()
            .filter(|(_, (uid, primary))| *primary == gid && (gid != 0 || *uid >= FIRST_FREE));
        let listed = self.listed.get(&gid).into_iter().flatten();
        let is_root = |name: &String| self.by_name.get(name).is_some_and(|(uid, _)| *uid == 0);
        primary
            .map(|(name, _)| name)
            .chain(listed)
            .filter(|name| !is_root(name) && *name != "root")
            .cloned()
            .collect()
    }

    /// The numbers of the user of that name and of its primary group.
    pub fn named(&self, user: &str) -> Option<(u32, u32)> {
        self.by_name.get(user).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_found_both_ways_and_the_first_entry_wins() {
        let accounts = Accounts::parse(
            b"root:x:0:0:root:/root:/bin/sh\n# comment\nelasticsearch:x:101:102::/nonexistent:/bin/false\ntoor:x:0:0:::\n",
            b"root:x:0:\nelasticsearch:x:102:\nbroken\n",
        );
        assert_eq!(accounts.user(0), "root");
        assert_eq!(accounts.group(102), "elasticsearch");
        assert_eq!(accounts.named("elasticsearch"), Some((101, 102)));
        assert_eq!(accounts.user(4711), "4711");
    }

    #[test]
    fn members_are_those_listed_and_those_whose_primary_group_it_is() {
        let accounts = Accounts::parse(
            b"root:x:0:0::/root:/bin/sh\nsync:x:5:0::/sbin:/bin/sync\nes:x:1000:0::/:/bin/sh\neve:x:1001:102::/:/bin/sh\n",
            b"root:x:0:\nelasticsearch:x:102:kibana, root,,eve\n",
        );
        assert_eq!(accounts.members(102).into_iter().collect::<Vec<_>>(), ["eve", "kibana"]);
        assert_eq!(accounts.members(0).into_iter().collect::<Vec<_>>(), ["es"]);
        assert!(accounts.members(7).is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(Accounts::parse(&bytes, &bytes));
        }
    }
}
