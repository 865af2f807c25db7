//! User and group ids across a user namespace: which id inside stands for which outside. See `user_namespaces(7)`.

use serde::{Deserialize, Serialize};

/// In bytes: the kernel takes 340 lines of three numbers each (`UID_GID_MAP_MAX_EXTENTS`).
pub const MAX_SIZE: usize = 64 << 10;
const MAX_RANGES: usize = 340;

/// Ids that follow each other, inside and outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

impl Range {
    /// The place of `id` in `count` ids from `first` on.
    fn offset(id: u32, first: u32, count: u32) -> Option<u32> {
        id.checked_sub(first).filter(|offset| *offset < count)
    }
}

/// A map of ids of one kind: `/proc/PID/uid_map` or `gid_map`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map(Vec<Range>);

/// The maps of users and of groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maps {
    pub users: Map,
    pub groups: Map,
}

/// What the ids of root are outside of a user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    pub uid: u32,
    pub gid: u32,
}

/// Why a text is no map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("line {line} is not three numbers")]
    Line { line: usize },
    #[error("it has more than {MAX_RANGES} lines")]
    Long,
}

impl Map {
    /// No id inside stands for one outside.
    pub const fn nothing() -> Self {
        Self(Vec::new())
    }

    /// One range.
    pub fn of(range: Range) -> Self {
        Self(vec![range])
    }

    /// The text of `/proc/PID/uid_map`: the first id inside, the first outside, and how many.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let mut ranges = Vec::new();
        for (at, line) in String::from_utf8_lossy(text).lines().enumerate() {
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            let parsed = (numbers.next(), numbers.next(), numbers.next(), numbers.next());
            let (Some(Ok(inside)), Some(Ok(outside)), Some(Ok(count)), None) = parsed else {
                return Err(Error::Line { line: at + 1 });
            };
            if ranges.len() == MAX_RANGES {
                return Err(Error::Long);
            }
            ranges.push(Range { inside, outside, count });
        }
        Ok(Self(ranges))
    }

    /// What a process in the namespace calls this id; `None` where it has no name for it.
    pub fn inside(&self, outside: u32) -> Option<u32> {
        self.0.iter().find_map(|range| {
            let offset = Range::offset(outside, range.outside, range.count)?;
            range.inside.checked_add(offset)
        })
    }

    /// What this id of the namespace is outside of it.
    pub fn outside(&self, inside: u32) -> Option<u32> {
        self.0.iter().find_map(|range| {
            let offset = Range::offset(inside, range.inside, range.count)?;
            range.outside.checked_add(offset)
        })
    }

    /// Every id stands for itself, as in the first user namespace.
    pub fn is_identity(&self) -> bool {
        matches!(self.0.as_slice(), [Range { inside: 0, outside: 0, count: u32::MAX }])
    }
}

impl Maps {
    /// What root of the namespace is outside of it.
    pub fn root(&self) -> Option<Root> {
        Some(Root { uid: self.users.outside(0)?, gid: self.groups.outside(0)? })
    }

    /// Ids are the same inside and outside.
    pub fn is_identity(&self) -> bool {
        self.users.is_identity() && self.groups.is_identity()
    }
}

/// The range of `/etc/subuid` or `/etc/subgid` that begins with `first`, as ids from 0 on: the smallest, should there be several.
/// See `subuid(5)`.
pub fn subordinate(text: &[u8], first: u32) -> Option<Range> {
    let ranges = String::from_utf8_lossy(text);
    let ranges = ranges.lines().filter_map(|line| {
        let mut fields = line.trim().split(':').skip(1).map(str::parse::<u32>);
        match (fields.next(), fields.next(), fields.next()) {
            (Some(Ok(outside)), Some(Ok(count)), None) => Some(Range { inside: 0, outside, count }),
            _ => None,
        }
    });
    ranges.filter(|range| range.outside == first).min_by_key(|range| range.count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_found_both_ways_and_others_are_not() {
        let map =
            Map::parse(b"         0       1000          1\n         1     100000      65536\n")
                .unwrap();
        for (inside, outside) in [(0, 1000), (1, 100_000), (1000, 100_999), (65_536, 165_535)] {
            assert_eq!(map.outside(inside), Some(outside));
            assert_eq!(map.inside(outside), Some(inside));
        }
        for outside in [0, 999, 1001, 99_999, 165_536, u32::MAX] {
            assert_eq!(map.inside(outside), None, "{outside}");
        }
        assert_eq!(map.outside(65_537), None);
        assert!(!map.is_identity());
    }

    #[test]
    fn the_first_namespace_maps_every_id_to_itself() {
        assert!(Map::parse(b"         0          0 4294967295\n").unwrap().is_identity());
        assert!(!Map::parse(b"0 0 65536\n").unwrap().is_identity());
        // No map was written yet: nothing has a name.
        assert_eq!(Map::parse(b"").unwrap().inside(0), None);
    }

    #[test]
    fn what_is_no_map_is_refused() {
        for text in ["0 0\n", "0 0 1 1\n", "a 0 1\n", "0 0 -1\n", "0 0 4294967296\n", "0 0 1\n\n"] {
            assert!(matches!(Map::parse(text.as_bytes()), Err(Error::Line { .. })), "{text:?}");
        }
        assert_eq!(Map::parse("0 0 1\n".repeat(341).as_bytes()), Err(Error::Long));
    }

    #[test]
    fn subordinate_ids_are_found_by_the_first() {
        let text = b"alice:100000:65536\ndockremap:231072:65536\n115:231072:1000\nbroken\n#x:1:2:3\na:5:b\n";
        let range = |outside, count| Some(Range { inside: 0, outside, count });
        assert_eq!(subordinate(text, 100_000), range(100_000, 65_536));
        assert_eq!(subordinate(text, 231_072), range(231_072, 1000));
        for first in [1, 5, 0, 100_001] {
            assert_eq!(subordinate(text, first), None);
        }
    }

    proptest! {
        #[test]
        fn inside_and_outside_agree(inside in any::<u32>(), outside in any::<u32>(), count in any::<u32>(), id in any::<u32>()) {
            let map = Map::of(Range { inside, outside, count });
            if let Some(there) = map.outside(id) {
                prop_assert_eq!(map.inside(there), Some(id));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), first in any::<u32>()) {
            drop(Map::parse(&bytes));
            let range = subordinate(&bytes, first);
            prop_assert!(range.is_none_or(|range| range.outside == first));
        }
    }
}
