//! What people and scripts read: the answer of `check` and `scan`, as JSON and as text. Pure.

mod json;
mod text;
mod tree;

pub use json::{check as check_json, scan as scan_json};
pub use text::{Style, check as check_text, scan as scan_text};

use atrest_proto::model::{Finding, Outcome, PathPosture, Posture, Verdict};

/// The exit code of an answer, as the contract has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0
    AllPass,
    /// 1
    SomethingFails,
    /// 3
    SomethingUnknown,
}

impl Exit {
    /// The process exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::AllPass => 0,
            Self::SomethingFails => 1,
            Self::SomethingUnknown => 3,
        }
    }

    fn of(outcomes: impl Iterator<Item = Outcome>) -> Self {
        outcomes.fold(Self::AllPass, |exit, outcome| match (exit, outcome) {
            (Self::SomethingFails, _) | (_, Outcome::Fail) => Self::SomethingFails,
            (_, Outcome::Unknown) => Self::SomethingUnknown,
            (exit, Outcome::Pass | Outcome::NotApplicable) => exit,
        })
    }
}

/// `scan` speaks of every finding.
pub fn scan_exit(posture: &Posture) -> Exit {
    Exit::of(posture.findings.iter().map(|finding| finding.outcome))
}

/// `check` speaks of the verdicts that were asked for; with `strict` of key hygiene too.
pub fn check_exit(posture: &Posture, strict: bool) -> Exit {
    let asked = posture.findings.iter().filter(|finding| {
        posture.paths.iter().any(|path| concerns(finding, path))
            && (strict || finding.check == "volume_encrypted")
    });
    Exit::of(asked.map(|finding| finding.outcome))
}

/// Whether a finding is about a path or about what it stands on.
fn concerns(finding: &Finding, path: &PathPosture) -> bool {
    finding.asset == path.asset || finding.affects.contains(&path.asset)
}

/// Worst first.
fn badness(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Unencrypted => 0,
        Verdict::Partial => 1,
        Verdict::Unknown => 2,
        Verdict::Claimed => 3,
        Verdict::Volatile => 4,
        Verdict::Encrypted => 5,
    }
}
