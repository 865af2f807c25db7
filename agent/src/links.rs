//! Symbolic links below watched paths that lead out of them: the facts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::path::HostPath;
use crate::snapshot::{Namespace, Observed, Resolved, Trouble};

/// The walk below one directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    pub namespace: Namespace,
    /// Where the walk began, without symbolic links.
    pub directory: HostPath,
    pub found: Result<Links, Trouble>,
}

/// What a walk found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// One for each place that links lead to, sorted.
    pub leaving: Vec<Link>,
    /// How many names were seen.
    pub entries: usize,
    /// What the walk left out.
    pub uncovered: BTreeSet<Uncovered>,
}

/// Links that lead to one place outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The first of them, by the order of the walk.
    pub path: HostPath,
    pub leads_to: Result<Resolved, Trouble>,
    /// How many there are.
    pub count: usize,
}

/// Why a walk did not see everything below its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Uncovered {
    /// Directories deeper than the walk goes.
    Deeper,
    /// More entries than the walk looks at.
    MoreEntries,
    /// The walk took too long.
    Time,
    /// Other file systems mounted below.
    OtherMounts,
    /// Directories that could not be read.
    Unreadable,
    /// A recording need not hold all that was there.
    NotRecorded,
}

impl Uncovered {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deeper => "deeper directories",
            Self::MoreEntries => "entries beyond the first ten thousand",
            Self::Time => "what a slow disk did not show in time",
            Self::OtherMounts => "file systems mounted below",
            Self::Unreadable => "directories that could not be read",
            Self::NotRecorded => "what the recording does not hold",
        }
    }
}

/// Whether links to `path` are left alone: what the kernel shows there rests on no disk, and device nodes are no files.
pub fn is_ignored(path: &HostPath) -> bool {
    ["/dev", "/proc", "/sys"].iter().any(|place| path.is_at_or_below(&(*place).into()))
}

/// The directory walked for a target, when there is one.
pub fn walk_of<'a>(
    walks: &'a [Walk],
    namespace: &Namespace,
    resolution: &Observed<Resolved>,
) -> Option<&'a Walk> {
    let resolved = resolution.known()?;
    walks.iter().find(|walk| walk.namespace == *namespace && walk.directory == resolved.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_shows_is_ignored_and_names_like_it_are_not() {
        for path in ["/dev/null", "/proc/self/fd/1", "/sys", "/dev/mapper/x"] {
            assert!(is_ignored(&path.into()), "{path}");
        }
        for path in ["/device", "/", "/srv/dev/x"] {
            assert!(!is_ignored(&path.into()), "{path}");
        }
    }

    #[test]
    fn a_walk_is_found_by_namespace_and_place() {
        let walk = |namespace, directory: &str| Walk {
            namespace,
            directory: directory.into(),
            found: Ok(Links::default()),
        };
        let walks = [walk(Namespace::Host, "/a"), walk(Namespace::Process(7), "/b")];
        let at = |path: &str| Observed::Known(Resolved::at(path));
        assert!(walk_of(&walks, &Namespace::Host, &at("/a")).is_some());
        assert!(walk_of(&walks, &Namespace::Host, &at("/b")).is_none());
        assert!(walk_of(&walks, &Namespace::Host, &Observed::Absent).is_none());
    }
}
