//! `/etc/nsswitch.conf`: where lookups of users and groups are answered from. See `nsswitch.conf(5)`.

use std::collections::BTreeSet;

/// It has a few lines; a bigger file is not read.
pub const MAX_SIZE: usize = 256 << 10;

/// Sources named, more of which no lookup asks.
const MAX_SOURCES: usize = 32;
/// In bytes: a source is the name of a library, `libnss_NAME.so.2`.
const LONGEST: usize = 64;

/// The sources of some databases, in no order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(BTreeSet<String>);

/// Files of the host, or what has no groups with members of its own: systemd's dynamic users, its machines.
const LOCAL: [&str; 6] = ["files", "compat", "altfiles", "extrausers", "systemd", "mymachines"];

impl Sources {
    /// What lookups of a group's members ask: `group`, `initgroups`, and `passwd` for those whose primary group it is. Actions
    /// such as `[NOTFOUND=return]` are not followed: what stands behind one counts.
    pub fn of_members(text: &[u8]) -> Self {
        let mut sources = BTreeSet::new();
        for line in String::from_utf8_lossy(text).lines() {
            let line = line.split('#').next().unwrap_or_default();
            let Some((database, list)) = line.split_once(':') else { continue };
            if !["group", "initgroups", "passwd"].contains(&database.trim()) {
                continue;
            }
            let mut in_action = false;
            for word in list.replace('[', " [ ").replace(']', " ] ").split_whitespace() {
                match word {
                    "[" => in_action = true,
                    "]" => in_action = false,
                    word if !in_action && sources.len() < MAX_SOURCES => {
                        let name = word.chars().filter(char::is_ascii_graphic).take(LONGEST);
                        sources.insert(name.collect::<String>().to_ascii_lowercase());
                    }
                    _ => {}
                }
            }
        }
        Self(sources)
    }

    /// Whether this source is asked.
    pub fn has(&self, source: &str) -> bool {
        self.0.contains(source)
    }

    /// Those whose members no file of the host lists: directory services, and what is not known.
    pub fn elsewhere(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str).filter(|source| !LOCAL.contains(source))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn elsewhere(text: &str) -> Vec<String> {
        Sources::of_members(text.as_bytes()).elsewhere().map(str::to_owned).collect()
    }

    #[test]
    fn files_of_the_host_are_nowhere_else() {
        for text in [
            "",
            "# group: sss\n",
            "passwd: files systemd\ngroup: files [SUCCESS=merge] systemd\nshadow: files sss\nhosts: files dns ldap\n",
            "group: compat # sss\n",
            "group:\taltfiles extrausers\n",
            "group files sss\n",
        ] {
            assert!(elsewhere(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn every_other_source_of_users_and_groups_is_named() {
        assert_eq!(elsewhere("group: sss files\n"), ["sss"]);
        assert_eq!(elsewhere(" passwd : files winbind\n"), ["winbind"]);
        assert_eq!(elsewhere("initgroups: files [ NOTFOUND = return ] ldap\n"), ["ldap"]);
        assert_eq!(elsewhere("group: files[SUCCESS=merge]nis\ngroup: LDAP\n"), ["ldap", "nis"]);
        assert_eq!(elsewhere("group: files [SUCCESS=continue\n"), [""; 0]);
        assert_eq!(elsewhere("group: db\n"), ["db"]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_names_can_be_shown(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = [b"group: ".as_slice(), &bytes].concat();
            for source in Sources::of_members(&text).elsewhere() {
                prop_assert!(source.len() <= LONGEST && source.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
