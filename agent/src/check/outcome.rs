//! Makes findings: what every check fills in the same way.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Outcome, Reason, Severity};

use super::Check;
use crate::snapshot::Trouble;

/// A finding with the severity and remedy that the check gives to its outcome.
pub(super) fn finding(check: &Check, asset: &str, outcome: Outcome, summary: String) -> Finding {
    let (severity, remedy) = match outcome {
        Outcome::Fail => (check.severity, check.remedy),
        Outcome::Unknown => (check.severity, ""),
        Outcome::Pass | Outcome::NotApplicable => (Severity::Info, ""),
    };
    Finding {
        check: check.id.to_owned(),
        asset: asset.to_owned(),
        outcome,
        severity,
        summary,
        remedy: remedy.to_owned(),
        reasons: Vec::new(),
        evidence: BTreeMap::new(),
        affects: Vec::new(),
    }
}

/// The finding for what could not be looked at.
pub(super) fn unknown(check: &Check, asset: &str, what: &str, trouble: &Trouble) -> Finding {
    Finding {
        reasons: vec![trouble.reason],
        remedy: lift(trouble).to_owned(),
        ..finding(
            check,
            asset,
            Outcome::Unknown,
            format!("{what} could not be looked at: {}", trouble.detail),
        )
    }
}

fn lift(trouble: &Trouble) -> &'static str {
    if trouble.reason == Reason::NoPermission {
        "run the agent as root"
    } else if trouble.reason == Reason::Timeout {
        "find out why the device or file does not answer, then scan again"
    } else {
        "look at what the detail names, then scan again"
    }
}
