//! One word for a whole host: the worst of what its paths say.

use std::fmt;
use std::str::FromStr;

use atrest_proto::model::{Finding, Outcome, PathPosture, Verdict};

use super::FindingKey;

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

/// What findings say beyond the verdicts of paths: data behind a link, a plain spare, memory that is dumped in the open.
pub(super) fn of_findings(findings: &[Finding], paths: &[PathPosture]) -> NodeState {
    let of = |finding: &Finding| match finding.outcome {
        Outcome::Fail => NodeState::Partial,
        // Of a path its verdict says so, and what is claimed is no doubt.
        Outcome::Unknown if !paths.iter().any(|path| path.asset == finding.asset) => {
            NodeState::Unknown
        }
        Outcome::Unknown | Outcome::Pass | Outcome::NotApplicable => NodeState::Encrypted,
    };
    let at_rest = findings.iter().filter(|finding| FindingKey::from(*finding).is_at_rest());
    at_rest.map(of).min().unwrap_or(NodeState::Encrypted)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use atrest_proto::model::Severity;

    use super::*;

    fn finding(check: &str, outcome: Outcome) -> Finding {
        Finding {
            check: check.to_owned(),
            asset: "links:/srv/es".to_owned(),
            outcome,
            severity: Severity::High,
            summary: String::new(),
            remedy: String::new(),
            reasons: Vec::new(),
            evidence: BTreeMap::new(),
            affects: Vec::new(),
        }
    }

    #[test]
    fn a_failure_beside_the_paths_keeps_a_host_from_passing_and_hygiene_does_not() {
        let of = |check, outcome| of_findings(&[finding(check, outcome)], &[]);
        assert_eq!(of("symlink_leaves", Outcome::Fail), NodeState::Partial);
        assert_eq!(of("swap_encrypted", Outcome::Unknown), NodeState::Unknown);
        assert_eq!(of("swap_encrypted", Outcome::Pass), NodeState::Encrypted);
        assert_eq!(of("luks_kdf", Outcome::Fail), NodeState::Encrypted);
        assert_eq!(of_findings(&[], &[]), NodeState::Encrypted);
    }

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
