//! What an operator ends: a host's enrolment, or an asset that its host reports no more. Nobody saw anything fixed, and
//! nothing says so.

use jiff::Timestamp;

use super::{Applied, HostState, TransitionKind};

/// The host is no longer one of the fleet; `None` when that is known already.
pub fn retire(previous: HostState, now: Timestamp) -> Option<Applied> {
    if previous.revoked_at.is_some() {
        return None;
    }
    let mut applied = Applied::new(previous);
    applied.state.revoked_at = Some(now);
    applied.retire(|_, _| true, TransitionKind::Retired, now);
    Some(applied)
}

/// The asset is gone for good; `None` when nothing of it is out of sight. What its host still reports stays.
pub fn retire_asset(previous: HostState, asset: &str, now: Timestamp) -> Option<Applied> {
    let mut applied = Applied::new(previous);
    let is_gone = |key: &super::FindingKey, finding: &super::FindingState| {
        key.asset == asset && !key.is_servers_own() && finding.absent_since.is_some()
    };
    applied.retire(is_gone, TransitionKind::AssetRetired, now);
    if applied.touched.is_empty() {
        return None;
    }
    // What the host is without it, its next report in full tells: it is asked for one.
    (applied.state.digest, applied.state.outline) = (None, None);
    Some(applied)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use atrest_proto::model::{Finding, Host, Outcome, Severity};

    use super::*;
    use crate::fleet::{Body, FindingKey, HostId, NodeState, Observation, Place, apply};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn report(previous: HostState, sequence: u64, findings: &[(&str, Outcome)]) -> HostState {
        let body = |(asset, outcome): &(&str, Outcome)| {
            let finding = Finding {
                check: "volume_encrypted".to_owned(),
                asset: (*asset).to_owned(),
                outcome: *outcome,
                severity: Severity::High,
                summary: String::new(),
                remedy: String::new(),
                reasons: Vec::new(),
                evidence: BTreeMap::new(),
                affects: Vec::new(),
            };
            (FindingKey::from(&finding), Body::new(finding, Place::default()))
        };
        let seen = Observation {
            sequence,
            digest: [1; 32],
            outline: [0; 16],
            observed_at: at(i64::try_from(sequence).unwrap()),
            host: Host::default(),
            verdict: NodeState::Encrypted,
            findings: findings.iter().map(body).collect(),
        };
        apply(previous, seen, at(1_000)).unwrap().state
    }

    fn fresh() -> HostState {
        HostState {
            host_id: HostId::random(),
            hostname: "es-1".to_owned(),
            cluster: String::new(),
            revision: 0,
            sequence: 0,
            digest: None,
            outline: None,
            verdict: NodeState::Unknown,
            revoked_at: None,
            findings: BTreeMap::new(),
        }
    }

    #[test]
    fn only_what_is_out_of_sight_may_be_said_to_be_gone() {
        let state = report(
            fresh(),
            1,
            &[("a", Outcome::Fail), ("b", Outcome::Unknown), ("c", Outcome::Fail)],
        );
        assert_eq!(retire_asset(state.clone(), "a", at(5)), None, "it is reported");
        let state = report(state, 2, &[("c", Outcome::Fail)]);
        assert_eq!(state.verdict, NodeState::Unknown, "two are out of sight");
        assert_eq!(retire_asset(state.clone(), "c", at(5)), None);
        assert_eq!(retire_asset(state.clone(), "d", at(5)), None);
        let gone = retire_asset(state, "a", at(5)).unwrap();
        let kinds: Vec<_> = gone.transitions.iter().map(|transition| transition.kind).collect();
        assert_eq!(kinds, [TransitionKind::AssetRetired]);
        assert_eq!((gone.state.failing(), gone.state.digest), (1, None));
        assert_eq!(retire_asset(gone.state.clone(), "a", at(6)), None, "once");
        let gone = retire_asset(gone.state, "b", at(6)).unwrap();
        assert!(gone.transitions.is_empty(), "it never failed");
        let state = report(gone.state, 3, &[("c", Outcome::Pass)]);
        assert_eq!(state.verdict, NodeState::Encrypted, "nothing is out of sight");
        let state = report(state, 4, &[("a", Outcome::Fail), ("c", Outcome::Pass)]);
        let again = state.findings.get(&FindingKey::new("volume_encrypted", "a")).unwrap();
        assert_eq!((again.episode, again.retired_at), (2, None), "it is there after all");
    }
}
