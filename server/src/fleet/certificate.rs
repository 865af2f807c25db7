//! A host's certificate that is about to end without having been renewed: the server's own finding
//! `certificate_ending`. Agents renew at half of the time; who has not when three quarters are over will be shut out.

use std::collections::BTreeMap;
use std::time::Duration;

use atrest_proto::model::{Finding, Outcome, Severity};
use jiff::Timestamp;

use super::observation::{Body, Place};
use super::{Applied, FindingKey, FindingState, HostState};
use crate::clock;

/// The check of the catalogue.
pub const CERTIFICATE_ENDING: &str = "certificate_ending";
/// The asset is the certificate that the host speaks with.
const ASSET: &str = "agent";

/// How long a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Validity {
    /// Less than a quarter of its time is left.
    pub fn is_ending(self, now: Timestamp) -> bool {
        let whole = Duration::try_from(self.until.duration_since(self.from)).unwrap_or_default();
        clock::before(self.until, whole / 4) <= now
    }
}

fn key() -> FindingKey {
    FindingKey::new(CERTIFICATE_ENDING, ASSET)
}

/// What the host speaks with is ending, or is not; `None` when that is known.
pub fn look(previous: HostState, validity: Validity, now: Timestamp) -> Option<Applied> {
    let open = previous.findings.get(&key()).is_some_and(FindingState::is_open);
    let ending = validity.is_ending(now);
    if open == ending {
        return None;
    }
    let mut applied = Applied::new(previous);
    let body = if ending { ends(&applied.state, validity) } else { holds(&applied.state) };
    applied.meet(key(), body, now);
    Some(applied)
}

fn ends(state: &HostState, validity: Validity) -> Body {
    let HostState { hostname, host_id, .. } = state;
    let until = format!("{:.0}", validity.until);
    let summary = format!(
        "the certificate of {hostname} ends at {until}, and its agent has not renewed it: \
         then it is shut out, and nothing is known of it any more"
    );
    let remedy = format!(
        "on {hostname}, look at `atrest-agent status` and the agent's log, and restart the agent; when the certificate \
         has ended, `atrestctl token create --replace {host_id}` and `atrest-agent enroll TOKEN`"
    );
    let evidence = BTreeMap::from([
        ("not_before".to_owned(), format!("{:.0}", validity.from)),
        ("not_after".to_owned(), until),
    ]);
    body(Outcome::Fail, summary, remedy, evidence)
}

fn holds(state: &HostState) -> Body {
    let summary = format!("the certificate of {} was renewed", state.hostname);
    body(Outcome::Pass, summary, String::new(), BTreeMap::new())
}

fn body(
    outcome: Outcome,
    summary: String,
    remedy: String,
    evidence: BTreeMap<String, String>,
) -> Body {
    let finding = Finding {
        check: CERTIFICATE_ENDING.to_owned(),
        asset: ASSET.to_owned(),
        outcome,
        severity: Severity::High,
        summary,
        remedy,
        reasons: Vec::new(),
        evidence,
        affects: Vec::new(),
    };
    Body::new(finding, Place::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{HostId, NodeState};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_certificate_that_is_not_renewed_is_a_finding_until_it_is() {
        let host = HostState {
            host_id: HostId::random(),
            hostname: "es-1".to_owned(),
            cluster: "prod".to_owned(),
            revision: 0,
            sequence: 0,
            digest: None,
            verdict: NodeState::Encrypted,
            revoked_at: None,
            findings: BTreeMap::new(),
        };
        let first = Validity { from: at(0), until: at(400) };
        assert_eq!(look(host.clone(), first, at(299)), None);
        let ending = look(host, first, at(300)).unwrap();
        assert_eq!((ending.state.failing(), ending.state.verdict), (1, NodeState::Encrypted));
        let finding = &ending.touched[&key()].as_ref().unwrap().finding;
        assert!(finding.summary.contains("1970-01-01T00:06:40Z"), "{}", finding.summary);
        assert_eq!(look(ending.state.clone(), first, at(390)), None, "known");
        let second = Validity { from: at(300), until: at(700) };
        assert_eq!(look(ending.state, second, at(310)).unwrap().state.failing(), 0);
    }
}
