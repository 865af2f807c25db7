//! A certificate that is about to end without having been renewed: the server's own finding `certificate_ending`.
//!
//! Agents renew at half of the time, and so does the server; who has not when three quarters are over will be shut out.
//! The authority is not renewed by itself: it is told of a month before.

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
/// How long before its end an authority is told of: it takes people to renew it.
const MONTH: Duration = Duration::from_hours(30 * 24);

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

    /// How long who comes with a certificate that is ending has to renew it: a host that was off for a day does so
    /// within seconds.
    pub fn grace(self) -> Duration {
        let whole = Duration::try_from(self.until.duration_since(self.from)).unwrap_or_default();
        (whole / 16).min(Duration::from_mins(10))
    }
}

/// A certificate of the server itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// What signs all others.
    Authority,
    /// What the server shows on its ports.
    Server,
    /// What it shows operators instead, of somebody else's authority.
    Operators,
}

impl Own {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Server => "server",
            Self::Operators => "operators",
        }
    }

    fn is_ending(self, validity: Validity, now: Timestamp) -> bool {
        match self {
            Self::Authority => clock::before(validity.until, MONTH) <= now,
            Self::Server | Self::Operators => validity.is_ending(now),
        }
    }
}

fn key(asset: &str) -> FindingKey {
    FindingKey::new(CERTIFICATE_ENDING, asset)
}

/// What the host speaks with is ending, or is not; `None` when that is known.
pub fn look(previous: HostState, validity: Validity, now: Timestamp) -> Option<Applied> {
    let (hostname, host_id) = (previous.hostname.clone(), previous.host_id.clone());
    let until = validity.until;
    let ending = validity.is_ending(now).then(|| {
        let summary = format!(
            "the certificate of {hostname} ends at {until:.0}, and its agent has not renewed it: \
             then it is shut out, and nothing is known of it any more"
        );
        let remedy = format!(
            "on {hostname}, look at `atrest-agent status` and the agent's log, and restart the agent; when the \
             certificate has ended, `atrestctl token create --replace {host_id}` and `atrest-agent enroll TOKEN`"
        );
        (summary, remedy)
    });
    decide(previous, ASSET, validity, ending, now)
}

/// The same of a certificate of the server itself, whose state this is.
pub fn look_at_own(
    previous: HostState,
    own: Own,
    validity: Validity,
    now: Timestamp,
) -> Option<Applied> {
    let until = validity.until;
    let ending = own.is_ending(validity, now).then(|| match own {
        Own::Authority => (
            format!(
                "the certificate of the authority ends at {until:.0}: then agents and operators cannot connect any more"
            ),
            "stop atrest-server, move `ca.pem` out of its state directory, and start it again: it makes a new \
             certificate for the same key, which agents go on trusting; give the new `ca.pem` to those who use \
             atrestctl elsewhere"
                .to_owned(),
        ),
        Own::Operators => (
            format!(
                "the certificate that operators are shown ends at {until:.0}: then they cannot connect any more"
            ),
            "put the next one and its key into the files of `operators.certificate_file` and `operators.key_file`: they \
             are read again every minute"
                .to_owned(),
        ),
        Own::Server => (
            format!(
                "the certificate of atrest-server ends at {until:.0}, and it has not renewed it: then agents and \
                 operators cannot connect any more"
            ),
            "look at the log of atrest-server, and restart it: it makes a new one at every start".to_owned(),
        ),
    });
    decide(previous, own.as_str(), validity, ending, now)
}

/// The server has no such certificate any more; `None` when nothing was told of one.
pub fn forget_own(previous: HostState, own: Own, now: Timestamp) -> Option<Applied> {
    let mut applied = Applied::new(previous);
    applied.retire_one(&key(own.as_str()), now);
    (!applied.touched.is_empty()).then_some(applied)
}

/// `ending` are the words for it: summary and remedy.
fn decide(
    previous: HostState,
    asset: &str,
    validity: Validity,
    ending: Option<(String, String)>,
    now: Timestamp,
) -> Option<Applied> {
    let key = key(asset);
    let open = previous.findings.get(&key).is_some_and(FindingState::is_open);
    if open == ending.is_some() {
        return None;
    }
    let evidence = BTreeMap::from([
        ("not_before".to_owned(), format!("{:.0}", validity.from)),
        ("not_after".to_owned(), format!("{:.0}", validity.until)),
    ]);
    let (outcome, words) = if let Some(words) = ending {
        (Outcome::Fail, words)
    } else {
        let summary = format!("a certificate of {} was renewed", previous.hostname);
        (Outcome::Pass, (summary, String::new()))
    };
    let body = body(asset, outcome, words, evidence);
    let mut applied = Applied::new(previous);
    applied.meet(key, body, now);
    Some(applied)
}

fn body(
    asset: &str,
    outcome: Outcome,
    (summary, remedy): (String, String),
    evidence: BTreeMap<String, String>,
) -> Body {
    let finding = Finding {
        check: CERTIFICATE_ENDING.to_owned(),
        asset: asset.to_owned(),
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

    fn host() -> HostState {
        HostState {
            host_id: HostId::random(),
            hostname: "es-1".to_owned(),
            cluster: "prod".to_owned(),
            revision: 0,
            sequence: 0,
            digest: None,
            outline: None,
            verdict: NodeState::Encrypted,
            revoked_at: None,
            findings: BTreeMap::new(),
        }
    }

    #[test]
    fn a_certificate_that_is_not_renewed_is_a_finding_until_it_is() {
        let host = host();
        let first = Validity { from: at(0), until: at(400) };
        assert_eq!(look(host.clone(), first, at(299)), None);
        let ending = look(host, first, at(300)).unwrap();
        assert_eq!((ending.state.failing(), ending.state.verdict), (1, NodeState::Encrypted));
        let finding = &ending.touched[&key(ASSET)].as_ref().unwrap().finding;
        assert!(finding.summary.contains("1970-01-01T00:06:40Z"), "{}", finding.summary);
        assert_eq!(look(ending.state.clone(), first, at(390)), None, "known");
        let second = Validity { from: at(300), until: at(700) };
        assert_eq!(look(ending.state, second, at(310)).unwrap().state.failing(), 0);
    }

    #[test]
    fn the_server_tells_of_its_own_certificates_each_in_its_time() {
        const DAY: i64 = 24 * 3_600;
        let long = Validity { from: at(0), until: at(3_650 * DAY) };
        let authority = |host, now| look_at_own(host, Own::Authority, long, at(now));
        assert_eq!(authority(host(), 3_619 * DAY), None);
        let ending = authority(host(), 3_620 * DAY).unwrap().state;
        assert_eq!(authority(ending.clone(), 3_621 * DAY), None, "known");
        // One that lives for a month is not ending all the time.
        let short = Validity { from: at(0), until: at(30 * DAY) };
        assert_eq!(look_at_own(ending.clone(), Own::Server, short, at(DAY)), None);
        let both = look_at_own(ending, Own::Server, short, at(23 * DAY)).unwrap().state;
        assert_eq!(both.failing(), 2);
        let operators =
            look_at_own(both.clone(), Own::Operators, short, at(23 * DAY)).unwrap().state;
        let dropped = forget_own(operators, Own::Operators, at(24 * DAY)).unwrap();
        assert_eq!(dropped.transitions[0].kind.as_str(), "asset_retired");
        assert_eq!(forget_own(dropped.state, Own::Operators, at(25 * DAY)), None);
        let anew = Validity { from: at(3_621 * DAY), until: at(7_271 * DAY) };
        let renewed = look_at_own(both, Own::Authority, anew, at(3_621 * DAY)).unwrap();
        assert_eq!(renewed.state.failing(), 1);
    }
}
