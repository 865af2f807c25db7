//! POSIX access-control lists as the kernel hands them out, in the attribute `system.posix_acl_access`.
//!
//! Layout: `include/uapi/linux/posix_acl_xattr.h`. Pure.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The attribute of a file; directories also have one for what is made in them.
pub const ATTRIBUTE: &str = "system.posix_acl_access";

/// `POSIX_ACL_XATTR_VERSION`.
const VERSION: u32 = 2;

const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;

/// What a list says beyond the mode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    pub entries: Vec<Entry>,
    /// What the owning group may really do. The mode shows the mask in its place.
    pub group: Option<u16>,
}

/// An entry beyond owner, group and others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub who: Who,
    /// What it grants once the mask is applied: read 4, write 2, execute 1.
    pub rights: u16,
}

/// Whom an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    User(u32),
    Group(u32),
}

/// Why the attribute is not a list.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    #[error("an access-control list of version {0}, where 2 is known")]
    Version(u32),
    #[error("an access-control list of {0} bytes, which ends within an entry")]
    Length(usize),
}

/// The entries for named users and groups, and the rights of the owning group.
pub fn parse(attribute: &[u8]) -> Result<List, Error> {
    let Some((version, rest)) = attribute.split_first_chunk::<4>() else {
        return Err(Error::Length(attribute.len()));
    };
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(Error::Version(version));
    }
    let (raw, []) = rest.as_chunks::<8>() else {
        return Err(Error::Length(attribute.len()));
    };
    let entries = raw.iter().map(|[t0, t1, r0, r1, id @ ..]| {
        (u16::from_le_bytes([*t0, *t1]), u16::from_le_bytes([*r0, *r1]), u32::from_le_bytes(*id))
    });
    let mask = entries.clone().find(|(tag, ..)| *tag == MASK).map_or(7, |(_, rights, _)| rights);
    let group = entries.clone().find(|(tag, ..)| *tag == GROUP_OBJ);
    let group = group.map(|(_, rights, _)| rights & mask & 7);
    let entries = entries
        .filter_map(|(tag, rights, id)| {
            let who = match tag {
                USER => Who::User(id),
                GROUP => Who::Group(id),
                // Owner, group, mask and others: the mode has them.
                _ => return None,
            };
            Some(Entry { who, rights: rights & mask & 7 })
        })
        .collect();
    Ok(List { entries, group })
}

/// As `getfacl` prints it: `user:NAME:rw-`.
pub fn describe(entry: Entry, accounts: &crate::accounts::Accounts) -> String {
    let (kind, name) = match entry.who {
        Who::User(uid) => ("user", accounts.user(uid)),
        Who::Group(gid) => ("group", accounts.group(gid)),
    };
    let letter = |bit: u16, letter: char| if entry.rights & bit == 0 { '-' } else { letter };
    format!("{kind}:{name}:{}{}{}", letter(4, 'r'), letter(2, 'w'), letter(1, 'x'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::accounts::Accounts;

    fn attribute(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&rights.to_le_bytes());
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn the_mask_takes_rights_away_from_named_entries() {
        let bytes = attribute(&[
            (1, 6, u32::MAX),
            (2, 7, 1000),
            (4, 6, u32::MAX),
            (8, 4, 50),
            (0x10, 4, 0),
            (0x20, 0, 0),
        ]);
        let list = parse(&bytes).unwrap();
        assert_eq!(
            list.entries,
            [Entry { who: Who::User(1000), rights: 4 }, Entry { who: Who::Group(50), rights: 4 }]
        );
        assert_eq!(list.group, Some(4));
    }

    #[test]
    fn entries_are_described_with_names() {
        let accounts = Accounts::parse(b"eve:x:1000:1000::/:/bin/sh\n", b"");
        assert_eq!(describe(Entry { who: Who::User(1000), rights: 6 }, &accounts), "user:eve:rw-");
        assert_eq!(describe(Entry { who: Who::Group(7), rights: 1 }, &accounts), "group:7:--x");
    }

    #[test]
    fn a_list_that_is_none_is_refused() {
        assert_eq!(parse(b"").unwrap_err(), Error::Length(0));
        assert_eq!(parse(&3_u32.to_le_bytes()).unwrap_err(), Error::Version(3));
        let mut short = attribute(&[(2, 7, 1000)]);
        short.pop();
        assert_eq!(parse(&short).unwrap_err(), Error::Length(11));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            drop(parse(&bytes));
        }
    }
}
