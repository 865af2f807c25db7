//! A finding: one check on one asset, with its outcome.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::words::{Reason, words};

words! {
    /// What a check said. Only positive proof passes.
    Outcome, "outcome" {
        Fail = "fail",
        Unknown = "unknown",
        Pass = "pass",
        NotApplicable = "not_applicable",
    }
}

words! {
    /// How much a failure matters, least first.
    Severity, "severity" {
        Info = "info",
        Low = "low",
        Medium = "medium",
        High = "high",
        Critical = "critical",
    }
}

/// One check on one asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The id of the check in the catalogue.
    pub check: String,
    /// The stable id of what was checked, such as `data:/var/lib/elasticsearch`.
    pub asset: String,
    pub outcome: Outcome,
    pub severity: Severity,
    /// One sentence, without a final full stop.
    pub summary: String,
    /// What to do about it; empty when it passes.
    pub remedy: String,
    /// Reason codes, sorted.
    pub reasons: Vec<Reason>,
    /// Facts by name. Never a secret.
    pub evidence: BTreeMap<String, String>,
    /// Other assets that this finding concerns, sorted.
    pub affects: Vec<String>,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap {
    /// The file, device or source.
    pub subject: String,
    pub reason: Reason,
    /// What the system said.
    pub detail: String,
    /// What would lift it; empty when nothing is known to.
    pub remedy: String,
}
