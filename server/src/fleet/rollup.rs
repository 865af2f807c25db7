//! One word for a whole host: the worst of what its paths say.

use std::fmt;
use std::str::FromStr;

use atrest_proto::model::{PathPosture, Verdict};

/// How a host stands as a whole, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    Unencrypted,
    Partial,
    /// Not heard of for longer than allowed: what was known is no longer evidence.
    Stale,
    Unknown,
    Claimed,
    Encrypted,
    /// An operator ended its enrolment: it is not counted, and nothing is said of it.
    Revoked,
}

impl NodeState {
    /// All of them, worst first.
    pub const ALL: [Self; 7] = [
        Self::Unencrypted,
        Self::Partial,
        Self::Stale,
        Self::Unknown,
        Self::Claimed,
        Self::Encrypted,
        Self::Revoked,
    ];

    /// What may be said of a host now, from what its paths last said and what became of it.
    pub const fn now(verdict: Self, silent: bool, revoked: bool) -> Self {
        if revoked {
            Self::Revoked
        } else if silent {
            Self::Stale
        } else {
            verdict
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unencrypted => "unencrypted",
            Self::Partial => "partial",
            Self::Stale => "stale",
            Self::Unknown => "unknown",
            Self::Claimed => "claimed",
            Self::Encrypted => "encrypted",
            Self::Revoked => "revoked",
        }
    }

    /// Its place from the worst, for sorting outside of Rust.
    pub fn rank(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for NodeState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// The worst verdict; without any path nothing is known.
///
/// Memory only counts as encrypted: nothing rests, and the agent proved that it cannot reach plain swap.
pub(super) fn of_paths(paths: &[PathPosture]) -> NodeState {
    paths
        .iter()
        .map(|path| match path.verdict {
            Verdict::Unencrypted => NodeState::Unencrypted,
            Verdict::Partial => NodeState::Partial,
            Verdict::Unknown => NodeState::Unknown,
            Verdict::Claimed => NodeState::Claimed,
            Verdict::Volatile | Verdict::Encrypted => NodeState::Encrypted,
        })
        .min()
        .unwrap_or(NodeState::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_round_trips_and_ranks_in_order() {
        for (rank, state) in NodeState::ALL.into_iter().enumerate() {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(usize::from(state.rank()), rank);
        }
    }

    #[test]
    fn a_host_without_paths_is_unknown_and_never_a_pass() {
        assert_eq!(of_paths(&[]), NodeState::Unknown);
    }
}
