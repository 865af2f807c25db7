//! The names of users and groups, as `/etc/passwd` and `/etc/group` of one root have them.
//!
//! Accounts of a directory service are not there; they keep their numbers as names. Whether there may be such is known from
//! `/etc/nsswitch.conf`.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::Reason;

use crate::host::Host;
use crate::nsswitch::{self, Sources};
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
    /// Where groups may have members that no file of the host lists: `sss`, `ldap`, …
    elsewhere: BTreeSet<String>,
}

/// Distributions give numbers below this to accounts of their own, such as `sync`, whose primary group is root's.
const FIRST_FREE: u32 = 100;

impl Accounts {
    /// The accounts that a process in `seen_by` sees. A missing file has no accounts.
    pub fn read(host: &dyn Host, seen_by: &Namespace) -> Result<Self, Trouble> {
        /// Generous for a file that is read whole on every login.
        const LIMIT: usize = 4 << 20;
        let read = |path: &str, limit| match host.read(seen_by, &HostPath::from(path), limit) {
            Err(trouble) if trouble.reason == Reason::NotFound => Ok(Vec::new()),
            result => result,
        };
        let sources = Sources::of_members(&read("/etc/nsswitch.conf", nsswitch::MAX_SIZE)?);
        let mut passwd = read("/etc/passwd", LIMIT)?;
        let mut group = read("/etc/group", LIMIT)?;
        // Further files of the same form: of image-based hosts, and of Ubuntu Core.
        for (source, directory) in [("altfiles", "/usr/lib"), ("extrausers", "/var/lib/extrausers")]
        {
            if sources.has(source) {
                for (file, text) in [("passwd", &mut passwd), ("group", &mut group)] {
                    text.push(b'\n');
                    text.extend(read(&format!("{directory}/{file}"), LIMIT)?);
                }
            }
        }
        let mut accounts = Self::parse(&passwd, &group);
        // The packages of some distributions name it, whether it is set up or not.
        let elsewhere =
            sources.elsewhere().filter(|source| *source != "sss" || has_sssd(host, seen_by));
        accounts.elsewhere = elsewhere.map(str::to_owned).collect();
        // A line that begins so lets in what NIS has.
        let has_nis = [&passwd, &group]
            .iter()
            .any(|text| text.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"+")));
        if has_nis && sources.has("compat") {
            accounts.elsewhere.insert("compat".to_owned());
        }
        Ok(accounts)
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

    /// The directory services that may know more members of any group.
    pub const fn elsewhere(&self) -> &BTreeSet<String> {
        &self.elsewhere
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

/// SSSD has users only where it is configured or runs. What cannot be looked at counts as there.
fn has_sssd(host: &dyn Host, seen_by: &Namespace) -> bool {
    let may_be = |path: &str| {
        host.metadata(seen_by, &HostPath::from(path), true)
            .map_or_else(|trouble| trouble.reason != Reason::NotFound, |_| true)
    };
    let is_dropped_in = match host.list(seen_by, &HostPath::from("/etc/sssd/conf.d")) {
        Ok(names) => names.iter().any(|name| name.ends_with(b".conf")),
        Err(trouble) => trouble.reason != Reason::NotFound,
    };
    is_dropped_in || may_be("/etc/sssd/sssd.conf") || may_be("/var/lib/sss/pipes/nss")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::host::recorded::RecordedHost;

    fn read(files: &[(&str, &str)]) -> Accounts {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Accounts::read(&RecordedHost::new(root.path()), &Namespace::Host).unwrap()
    }

    #[test]
    fn directory_services_are_known_from_the_name_service_switch() {
        let elsewhere =
            |files: &[(&str, &str)]| read(files).elsewhere().iter().cloned().collect::<Vec<_>>();
        assert!(elsewhere(&[]).is_empty());
        let sss = ("etc/nsswitch.conf", "group: sss files systemd\n");
        assert!(elsewhere(&[sss]).is_empty(), "it is not set up");
        assert!(elsewhere(&[sss, ("etc/sssd/conf.d/README", "")]).is_empty());
        for set_up in ["etc/sssd/sssd.conf", "etc/sssd/conf.d/x.conf", "var/lib/sss/pipes/nss"] {
            assert_eq!(elsewhere(&[sss, (set_up, "")]), ["sss"], "{set_up}");
        }
        assert_eq!(elsewhere(&[("etc/nsswitch.conf", "group: files ldap\n")]), ["ldap"]);
        let compat = ("etc/nsswitch.conf", "group: compat\n");
        assert!(elsewhere(&[compat, ("etc/group", "a:x:1:\n")]).is_empty());
        assert_eq!(elsewhere(&[compat, ("etc/group", "a:x:1:\n+:::\n")]), ["compat"]);
        assert!(elsewhere(&[("etc/group", "+:::\n")]).is_empty());
    }

    #[test]
    fn further_files_of_the_host_are_read_where_they_are_named() {
        let files = [
            ("etc/group", "es:x:102:a"),
            ("usr/lib/group", "es:x:102:b\n"),
            ("var/lib/extrausers/passwd", "c:x:1000:102::/:\n"),
        ];
        assert_eq!(read(&files).members(102).into_iter().collect::<Vec<_>>(), ["a"]);
        let all =
            [&files[..], &[("etc/nsswitch.conf", "group: files altfiles extrausers\n")]].concat();
        assert_eq!(read(&all).members(102).into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

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
