//! `apply`: the previous state of a host and what it now says, to the next state.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::observation::{Body, Observation};
use super::{
    FindingKey, FindingState, HostState, NodeState, Transition, TransitionKind, lifecycle,
};

/// The next state, and how it differs from the previous one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub state: HostState,
    /// Findings that changed, or whose text has to be kept from now on; with their text, when it is at hand.
    pub touched: BTreeMap<FindingKey, Option<Body>>,
    /// Findings that passed and are no longer spoken of.
    pub removed: BTreeSet<FindingKey>,
    pub transitions: Vec<Transition>,
}

impl Applied {
    pub(super) fn new(previous: HostState) -> Self {
        let mut state = previous;
        state.revision = state.revision.saturating_add(1);
        Self { state, touched: BTreeMap::new(), removed: BTreeSet::new(), transitions: Vec::new() }
    }

    /// The same state once more, for who decides on findings that have not changed.
    pub fn again(previous: HostState, bodies: BTreeMap<FindingKey, Body>) -> Self {
        let touched = bodies.into_iter().map(|(key, body)| (key, Some(body))).collect();
        Self { touched, ..Self::new(previous) }
    }

    pub(super) fn meet(&mut self, key: FindingKey, seen: Body, at: Timestamp) {
        let previous = self.state.findings.get(&key);
        let content = key.is_servers_own().then(|| seen.content());
        let (next, kind) = lifecycle::meet(previous, &seen, content, at);
        if previous == Some(&next) {
            return;
        }
        self.record(&key, kind, next.episode, next.opened_at.unwrap_or(next.changed_at));
        self.touched.insert(key.clone(), Some(seen));
        self.state.findings.insert(key, next);
    }

    fn miss(&mut self, key: FindingKey, at: Timestamp) {
        let Some(previous) = self.state.findings.get(&key) else { return };
        match lifecycle::miss(previous, key.is_at_rest(), at) {
            None => {
                self.state.findings.remove(&key);
                self.removed.insert(key);
            }
            Some((next, _)) if next == *previous => {}
            Some((next, kind)) => {
                self.record(&key, kind, next.episode, at);
                self.touched.insert(key.clone(), None);
                self.state.findings.insert(key, next);
            }
        }
    }

    /// What is not settled ends, of those findings that `which` names, with their host or their asset.
    pub(super) fn retire(
        &mut self,
        which: impl Fn(&FindingKey, &FindingState) -> bool,
        kind: TransitionKind,
        at: Timestamp,
    ) {
        let of = |key: &FindingKey, finding: &FindingState| {
            let ended = lifecycle::retire(finding, kind, at)?;
            which(key, finding).then(|| (key.clone(), ended))
        };
        let ended: Vec<_> =
            self.state.findings.iter().filter_map(|(key, finding)| of(key, finding)).collect();
        for (key, (next, kind)) in ended {
            self.record(&key, kind, next.episode, at);
            self.touched.insert(key.clone(), None);
            self.state.findings.insert(key, next);
        }
    }

    /// One finding ends without having been seen to pass.
    pub(super) fn retire_one(&mut self, key: &FindingKey, at: Timestamp) {
        let finding = self.state.findings.get(key);
        let ended = finding
            .and_then(|finding| lifecycle::retire(finding, TransitionKind::AssetRetired, at));
        let Some((next, kind)) = ended else { return };
        self.record(key, kind, next.episode, at);
        self.touched.insert(key.clone(), None);
        self.state.findings.insert(key.clone(), next);
    }

    /// One finding that is over is no longer remembered.
    pub(super) fn forget(&mut self, key: &FindingKey) {
        self.state.findings.remove(key);
        self.touched.remove(key);
        self.removed.insert(key.clone());
    }

    fn record(
        &mut self,
        key: &FindingKey,
        kind: Option<TransitionKind>,
        episode: u32,
        at: Timestamp,
    ) {
        if let Some(kind) = kind {
            self.transitions.push(Transition { key: key.clone(), kind, episode, at });
        }
    }
}

/// Applies a report; `None` when this or a later one was applied before.
pub fn apply(previous: HostState, seen: Observation, now: Timestamp) -> Option<Applied> {
    if seen.sequence <= previous.sequence {
        return None;
    }
    // The host's own time is the better one for what it saw, unless it lies in the future.
    let at = seen.observed_at.min(now);
    let missed: Vec<_> = previous
        .findings
        .keys()
        .filter(|key| !key.is_servers_own() && !seen.findings.contains_key(key))
        .cloned()
        .collect();

    let mut applied = Applied::new(previous);
    for (key, body) in seen.findings {
        applied.meet(key, body, at);
    }
    for key in missed {
        applied.miss(key, at);
    }
    applied.state.sequence = seen.sequence;
    applied.state.digest = Some(seen.digest);
    applied.state.outline = Some(seen.outline);
    if !seen.host.hostname.is_empty() {
        applied.state.hostname = seen.host.hostname;
    }
    applied.state.verdict = verdict(&applied.state, seen.verdict);
    Some(applied)
}

/// What the paths say; but a failure that went out of sight keeps the host from passing.
fn verdict(state: &HostState, of_paths: NodeState) -> NodeState {
    let out_of_sight = state
        .findings
        .iter()
        .any(|(key, finding)| key.is_at_rest() && finding.absent_since.is_some());
    if out_of_sight { of_paths.min(NodeState::Unknown) } else { of_paths }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use atrest_proto::model::{Finding, Host, Outcome, Severity};
    use proptest::prelude::*;

    use super::*;
    use crate::fleet::{HostId, Place, fall_silent, retire, return_from_silence};

    fn fresh() -> HostState {
        HostState {
            host_id: HostId::random(),
            hostname: "es-1".to_owned(),
            cluster: "prod".to_owned(),
            revision: 0,
            sequence: 0,
            digest: None,
            outline: None,
            verdict: NodeState::Unknown,
            revoked_at: None,
            findings: BTreeMap::new(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn seen(sequence: u64, findings: &[(&str, Outcome)]) -> Observation {
        let findings = findings.iter().map(|(asset, outcome)| {
            let finding = Finding {
                check: "volume_encrypted".to_owned(),
                asset: (*asset).to_owned(),
                outcome: *outcome,
                severity: Severity::High,
                summary: format!("{asset} is {outcome}"),
                remedy: String::new(),
                reasons: Vec::new(),
                evidence: BTreeMap::new(),
                affects: Vec::new(),
            };
            (FindingKey::from(&finding), Body::new(finding, Place::default()))
        });
        Observation {
            sequence,
            digest: [0; 32],
            outline: [0; 16],
            observed_at: at(i64::try_from(sequence).unwrap()),
            host: Host::default(),
            verdict: NodeState::Encrypted,
            findings: findings.collect(),
        }
    }

    fn step(previous: &HostState, seen: Observation) -> Applied {
        apply(previous.clone(), seen, at(1_000_000)).unwrap()
    }

    fn kinds(applied: &Applied) -> Vec<TransitionKind> {
        applied.transitions.iter().map(|transition| transition.kind).collect()
    }

    #[test]
    fn a_finding_opens_resolves_and_reopens() {
        let opened = step(&fresh(), seen(1, &[("data:/a", Outcome::Fail)]));
        assert_eq!(kinds(&opened), [TransitionKind::Opened]);
        let same = step(&opened.state, seen(2, &[("data:/a", Outcome::Fail)]));
        assert!(same.transitions.is_empty() && same.touched.is_empty());
        let unknown = step(&same.state, seen(3, &[("data:/a", Outcome::Unknown)]));
        assert!(unknown.transitions.is_empty(), "not knowing is not a fix");
        assert_eq!(unknown.state.failing(), 1);
        let resolved = step(&unknown.state, seen(4, &[("data:/a", Outcome::Pass)]));
        assert_eq!(kinds(&resolved), [TransitionKind::Resolved]);
        assert_eq!(resolved.transitions[0].at, at(4));
        let reopened = step(&resolved.state, seen(5, &[("data:/a", Outcome::Fail)]));
        assert_eq!(kinds(&reopened), [TransitionKind::Reopened]);
        assert_eq!(reopened.transitions[0].episode, 2);
    }

    #[test]
    fn absence_keeps_a_failure_open_and_the_host_from_passing() {
        let opened = step(&fresh(), seen(1, &[("data:/a", Outcome::Fail)]));
        let gone = step(&opened.state, seen(2, &[]));
        assert_eq!(kinds(&gone), [TransitionKind::Absent]);
        assert_eq!(gone.state.failing(), 1);
        assert_eq!(gone.state.verdict, NodeState::Unknown);
        let still = step(&gone.state, seen(3, &[]));
        assert!(still.transitions.is_empty() && still.touched.is_empty());
        let back = step(&still.state, seen(4, &[("data:/a", Outcome::Pass)]));
        assert_eq!(kinds(&back), [TransitionKind::Resolved]);
        assert_eq!(back.state.verdict, NodeState::Encrypted);
    }

    #[test]
    fn a_pass_that_is_no_longer_spoken_of_is_forgotten() {
        let passed = step(&fresh(), seen(1, &[("data:/a", Outcome::Pass)]));
        let gone = step(&passed.state, seen(2, &[]));
        assert_eq!(gone.removed.len(), 1);
        assert_eq!(gone.state.verdict, NodeState::Encrypted);
    }

    #[test]
    fn an_old_sequence_changes_nothing() {
        let first = step(&fresh(), seen(5, &[("data:/a", Outcome::Fail)]));
        for sequence in [0, 1, 5] {
            assert_eq!(apply(first.state.clone(), seen(sequence, &[]), at(9)), None);
        }
    }

    #[test]
    fn a_report_neither_ends_nor_hides_a_silence() {
        let silent = fall_silent(fresh(), at(0), at(600)).unwrap();
        let reported = step(&silent.state, seen(1, &[]));
        assert_eq!(reported.state.state(), NodeState::Stale);
        let back = return_from_silence(reported.state, at(700)).unwrap();
        assert_eq!(back.state.state(), NodeState::Encrypted);
    }

    #[test]
    fn what_is_open_ends_with_its_host_and_was_not_seen_fixed() {
        let findings = [
            ("a", Outcome::Fail),
            ("b", Outcome::Unknown),
            ("c", Outcome::Pass),
            ("d", Outcome::Fail),
        ];
        let opened = step(&fresh(), seen(1, &findings));
        let gone = step(&opened.state, seen(2, &findings[..3]));
        let retired = retire(gone.state, at(50)).unwrap();
        assert_eq!(kinds(&retired), [TransitionKind::Retired, TransitionKind::Retired]);
        assert_eq!((retired.state.failing(), retired.state.state()), (0, NodeState::Revoked));
        assert_eq!(retired.touched.len(), 3, "what passed is left as it is");
        assert_eq!(retire(retired.state.clone(), at(60)), None, "once");

        // Let in again: a failure is a new episode, and what is spoken of no more holds nothing up.
        let back = HostState { revoked_at: None, ..retired.state };
        let failed = step(&back, seen(3, &[("a", Outcome::Fail)]));
        assert_eq!(kinds(&failed), [TransitionKind::Reopened]);
        assert_eq!(failed.transitions[0].episode, 2);
        assert_eq!(failed.state.verdict, NodeState::Encrypted, "nothing is out of sight");
        let of =
            |asset: &str| failed.state.findings.get(&FindingKey::new("volume_encrypted", asset));
        assert_eq!(of("a").unwrap().retired_at, None);
        assert!(of("b").is_none() && of("c").is_none());
        assert_eq!(of("d").unwrap().episode, 1, "its next episode is not its first");
    }

    #[test]
    fn silence_ends_with_the_host_too() {
        let silent = fall_silent(fresh(), at(0), at(600)).unwrap();
        let retired = retire(silent.state, at(700)).unwrap();
        assert!(!retired.state.is_silent());
        assert_eq!(return_from_silence(retired.state, at(800)), None);
    }

    #[test]
    fn a_text_is_kept_with_a_finding_only_while_no_posture_has_it() {
        let of = |state: &HostState| state.findings.values().next().unwrap().content.is_some();
        let first = step(&fresh(), seen(1, &[("data:/a", Outcome::Fail)])).state;
        assert!(!of(&first));
        let same = step(&first, seen(2, &[("data:/a", Outcome::Fail)]));
        assert!(same.touched.is_empty(), "other words are no change");
        let absent = step(&first, seen(2, &[]));
        assert!(of(&absent.state) && absent.touched.len() == 1);
        assert!(step(&absent.state, seen(3, &[])).touched.is_empty());
        let back = step(&absent.state, seen(3, &[("data:/a", Outcome::Fail)]));
        assert!(!of(&back.state) && back.touched.len() == 1);
        // One that failed once, and passes, is remembered without being open.
        let passed = step(&first, seen(2, &[("data:/a", Outcome::Pass)])).state;
        assert!(of(&step(&passed, seen(3, &[])).state));
        // As a version before left it.
        let mut old = first;
        old.findings.values_mut().next().unwrap().content = Some([7; 16]);
        let next = step(&old, seen(2, &[("data:/a", Outcome::Fail)]));
        assert!(!of(&next.state) && next.touched.len() == 1 && next.transitions.is_empty());
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop::sample::select(Outcome::ALL)
    }

    proptest! {
        /// Whatever is reported in whatever order: a finding is open exactly if its last word other
        /// than "unknown" was a failure, opened and resolved alternate, and time does not run back.
        #[test]
        fn open_means_failed_and_not_passed_since(
            reports in prop::collection::vec(prop::collection::btree_map(0_u8..4, outcome(), 0..4), 1..20),
        ) {
            let mut state = fresh();
            let mut failed = BTreeMap::<String, bool>::new();
            let mut log = BTreeMap::<FindingKey, Vec<TransitionKind>>::new();
            for (sequence, report) in (1..).zip(&reports) {
                let assets: Vec<_> = report.iter().map(|(asset, outcome)| (format!("data:/{asset}"), *outcome)).collect();
                let borrowed: Vec<_> = assets.iter().map(|(asset, outcome)| (asset.as_str(), *outcome)).collect();
                for (asset, outcome) in &assets {
                    match outcome {
                        Outcome::Fail => { failed.insert(asset.clone(), true); }
                        Outcome::Pass | Outcome::NotApplicable => { failed.insert(asset.clone(), false); }
                        Outcome::Unknown => {}
                    }
                }
                let applied = step(&state, seen(sequence, &borrowed));
                for transition in &applied.transitions {
                    log.entry(transition.key.clone()).or_default().push(transition.kind);
                }
                for (key, finding) in &applied.state.findings {
                    prop_assert_eq!(finding.is_open(), failed.get(&key.asset).copied().unwrap_or(false));
                    prop_assert!(finding.opened_at.is_none_or(|opened| opened >= finding.first_seen_at));
                }
                for (asset, failed) in &failed {
                    let key = FindingKey::new("volume_encrypted", asset.clone());
                    prop_assert!(!failed || applied.state.findings.contains_key(&key), "a failure vanished");
                }
                prop_assert!(applied.state.revision > state.revision);
                // What the store relies on when the outline of a report is the last one's: it decides nothing.
                let again = step(&applied.state, seen(sequence + 1, &borrowed));
                prop_assert!(again.touched.is_empty() && again.removed.is_empty() && again.transitions.is_empty());
                prop_assert_eq!(&again.state.findings, &applied.state.findings);
                prop_assert_eq!(again.state.verdict, applied.state.verdict);
                state = applied.state;
            }
            for kinds in log.values() {
                let mut open = false;
                for kind in kinds {
                    match kind {
                        TransitionKind::Opened | TransitionKind::Reopened => { prop_assert!(!open); open = true; }
                        TransitionKind::Resolved
                        | TransitionKind::Retired
                        | TransitionKind::AssetRetired => { prop_assert!(open); open = false; }
                        TransitionKind::Absent => {}
                    }
                }
            }
        }
    }
}
