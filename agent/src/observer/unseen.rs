//! What may still be said of a host that nobody looks at any more. Pure.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Gap, Host, Outcome, Password, Posture, Severity, Verdict};
use jiff::Timestamp;

use crate::check;

/// The check that everything was seen, and what it is about.
const SIGHT: (&str, &str) = ("agent_sight", "host:");

/// What is left of a posture when the half that looks is gone: what failed is taken to fail still, and nothing passes. Without
/// one before, that nothing was seen.
///
/// The same each time as long as it goes on, so that it is reported once.
pub fn unseen(last: Option<&Posture>, host: &Host, gap: &Gap, now: Timestamp) -> Posture {
    let mut posture = last.cloned().unwrap_or_else(|| Posture {
        host: host.clone(),
        observed_at: now,
        services: Vec::new(),
        paths: Vec::new(),
        keystores: Vec::new(),
        repositories: Vec::new(),
        findings: Vec::new(),
        gaps: Vec::new(),
        catalogue_version: check::CATALOGUE_VERSION,
    });
    for path in &mut posture.paths {
        if doubted(&mut path.verdict) {
            path.reasons = vec![gap.reason];
        }
    }
    for keystore in &mut posture.keystores {
        doubted(&mut keystore.at_rest);
        keystore.password = Password::Unknown;
    }
    let (check, asset) = SIGHT;
    posture.findings.retain(|finding| (finding.check.as_str(), finding.asset.as_str()) != SIGHT);
    for finding in &mut posture.findings {
        if finding.outcome == Outcome::Pass {
            finding.outcome = Outcome::Unknown;
            finding.summary = format!("nobody looks any more; before: {}", finding.summary);
            finding.reasons = vec![gap.reason];
            if let Some(check) = check::find(&finding.check) {
                finding.severity = check.severity;
            }
        }
    }
    posture.findings.push(Finding {
        check: check.to_owned(),
        asset: asset.to_owned(),
        outcome: Outcome::Unknown,
        severity: check::find(check).map_or(Severity::Medium, |check| check.severity),
        summary: format!("nobody looks any more: {}", gap.detail),
        remedy: gap.remedy.clone(),
        reasons: vec![gap.reason],
        evidence: BTreeMap::new(),
        affects: Vec::new(),
    });
    posture.findings.sort_by(|a, b| (&a.check, &a.asset).cmp(&(&b.check, &b.asset)));
    posture.gaps.push(gap.clone());
    posture.gaps.sort_unstable();
    posture
}

/// What passes, or may, is not known any more. Whether that is another verdict.
fn doubted(verdict: &mut Verdict) -> bool {
    let is_doubted = match verdict {
        Verdict::Encrypted | Verdict::Claimed | Verdict::Volatile => true,
        Verdict::Unencrypted | Verdict::Partial | Verdict::Unknown => false,
    };
    if is_doubted {
        *verdict = Verdict::Unknown;
    }
    is_doubted
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::*;
    use crate::policy::Policy;
    use crate::posture;
    use crate::snapshot::Snapshot;

    fn gap() -> Gap {
        Gap {
            subject: "the half of the agent that looks".to_owned(),
            reason: Reason::Unreadable,
            detail: "refused".to_owned(),
            remedy: "start it".to_owned(),
        }
    }

    #[test]
    fn nothing_passes_and_what_failed_fails_still() {
        let snapshot = Snapshot::empty();
        let mut seen = posture::evaluate(&snapshot, &Policy::default());
        let template = seen.findings[0].clone();
        for (asset, outcome) in [("x:pass", Outcome::Pass), ("x:fail", Outcome::Fail)] {
            seen.findings.push(Finding { asset: asset.to_owned(), outcome, ..template.clone() });
        }
        let said = unseen(Some(&seen), &Host::default(), &gap(), Timestamp::UNIX_EPOCH);
        assert!(said.findings.iter().all(|finding| finding.outcome != Outcome::Pass));
        let of = |asset: &str| said.findings.iter().find(|one| one.asset == asset).unwrap().outcome;
        assert_eq!((of("x:pass"), of("x:fail")), (Outcome::Unknown, Outcome::Fail));
        assert!(said.paths.iter().all(|path| path.verdict != Verdict::Encrypted));
        assert_eq!(said.observed_at, seen.observed_at, "it is what was seen then");
        assert_eq!(said, unseen(Some(&seen), &Host::default(), &gap(), Timestamp::MAX));
        let is_sight =
            |finding: &&Finding| (finding.check.as_str(), finding.asset.as_str()) == SIGHT;
        let sights = said.findings.iter().filter(is_sight).count();
        assert_eq!(sights, 1);
    }

    #[test]
    fn every_verdict_that_passes_is_doubted() {
        for (before, after) in [
            (Verdict::Encrypted, Verdict::Unknown),
            (Verdict::Claimed, Verdict::Unknown),
            (Verdict::Volatile, Verdict::Unknown),
            (Verdict::Partial, Verdict::Partial),
            (Verdict::Unencrypted, Verdict::Unencrypted),
            (Verdict::Unknown, Verdict::Unknown),
        ] {
            let mut verdict = before;
            doubted(&mut verdict);
            assert_eq!(verdict, after);
        }
    }

    #[test]
    fn without_a_look_before_it_says_that_nothing_was_seen() {
        let host = Host { hostname: "es-1".to_owned(), ..Host::default() };
        let said = unseen(None, &host, &gap(), Timestamp::UNIX_EPOCH);
        assert_eq!(said.host, host);
        let [finding] = said.findings.as_slice() else { panic!("{said:?}") };
        assert_eq!((finding.check.as_str(), finding.outcome), ("agent_sight", Outcome::Unknown));
        assert!(check::find(SIGHT.0).is_some());
    }
}
