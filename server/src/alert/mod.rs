//! Which changes of findings people are told of. Pure.
//!
//! Decided by level, not by edge: an open finding that matters has an alert firing, one that is not
//! open has none, whatever was missed in between. Firing and resolved alternate per asset.

mod routes;

use std::str::FromStr;

use atrest_proto::model::{Finding, Outcome, Severity};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::fleet::{Alerting, Applied, Body, FindingKey, FindingState, HostState};
use crate::hex;

pub use routes::{Route, Routes, Subject};

/// What is worth an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub min_severity: Severity,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    Firing,
    Resolved,
}

impl AlertState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// Why an alert is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertEnd {
    /// What failed was seen to pass.
    Passed,
    /// The host was revoked: nobody saw it fixed.
    HostRetired,
    /// It became more severe, and another alert fires in its place.
    Worsened,
    /// Its asset is gone for good, as an operator or a list of nodes says: nobody saw it fixed.
    AssetRetired,
}

impl AlertEnd {
    const ALL: [Self; 4] = [Self::Passed, Self::HostRetired, Self::Worsened, Self::AssetRetired];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::HostRetired => "host_retired",
            Self::Worsened => "worsened",
            Self::AssetRetired => "asset_retired",
        }
    }
}

impl FromStr for AlertEnd {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|end| end.as_str() == text).ok_or(())
    }
}

/// One episode of one finding that people are told of, as it was when it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The same for the same host, check, asset, episode and step, whoever computes it.
    pub alert_id: String,
    pub host_id: String,
    pub hostname: String,
    pub cluster: String,
    pub finding: Finding,
    pub path: String,
    pub devices: Vec<String>,
    pub episode: u32,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Set with `ended_at`.
    pub end: Option<AlertEnd>,
}

/// An operator has seen an alert and takes care of it. It is not repeated, and its end is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    pub at: Timestamp,
    /// The operator's name.
    pub by: String,
    /// For people; may be empty.
    pub comment: String,
    /// From then on it counts as not seen; `None`: never.
    pub until: Option<Timestamp>,
}

impl Ack {
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Alert {
    pub const fn state(&self) -> AlertState {
        if self.ended_at.is_some() { AlertState::Resolved } else { AlertState::Firing }
    }
}

/// What is to be done about alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertChange {
    Fire(Box<Alert>),
    Resolve { alert_id: String, ended_at: Timestamp, end: AlertEnd },
}

impl AlertChange {
    pub fn alert_id(&self) -> &str {
        match self {
            Self::Fire(alert) => &alert.alert_id,
            Self::Resolve { alert_id, .. } => alert_id,
        }
    }

    /// The state that people are told.
    pub const fn state(&self) -> AlertState {
        match self {
            Self::Fire(_) => AlertState::Firing,
            Self::Resolve { .. } => AlertState::Resolved,
        }
    }
}

/// Decides what to tell of a change, and notes in the state what was told.
pub fn decide(applied: &mut Applied, policy: Policy, now: Timestamp) -> Vec<AlertChange> {
    let mut changes = Vec::new();
    for (key, body) in &applied.touched {
        let Some(finding) = applied.state.findings.get(key) else { continue };
        let told = judge(&applied.state, key, finding, body.as_ref(), policy, now);
        if let Some(finding) = applied.state.findings.get_mut(key) {
            finding.alerting = told.alerting;
        }
        changes.extend(told.ends);
        changes.extend(told.begins);
    }
    changes
}

/// What is to be told of one finding.
struct Told {
    ends: Option<AlertChange>,
    begins: Option<AlertChange>,
    /// What fires then.
    alerting: Option<Alerting>,
}

fn judge(
    host: &HostState,
    key: &FindingKey,
    finding: &FindingState,
    body: Option<&Body>,
    policy: Policy,
    now: Timestamp,
) -> Told {
    let id = |step| alert_id(host.host_id.as_str(), key, finding.episode, step);
    let end = |alerting: Alerting, ended_at, end| AlertChange::Resolve {
        alert_id: id(alerting.step),
        ended_at,
        end,
    };
    let begin = |step, started_at, body: &Body| {
        AlertChange::Fire(Box::new(Alert {
            alert_id: id(step),
            host_id: host.host_id.as_str().to_owned(),
            hostname: host.hostname.clone(),
            cluster: host.cluster.clone(),
            finding: body.finding.clone(),
            path: body.place.path.clone(),
            devices: body.place.devices.clone(),
            episode: finding.episode,
            started_at,
            ended_at: None,
            end: None,
        }))
    };
    let severity = finding.severity;
    match (finding.opened_at, finding.alerting, body) {
        (Some(started_at), None, Some(body)) if severity >= policy.min_severity => Told {
            ends: None,
            begins: Some(begin(1, started_at, body)),
            alerting: Some(Alerting { step: 1, severity }),
        },
        // Whoever is to be told of severe ones only has not heard of it, and labels of a receiver
        // hold the severity: so it is another alert. Of one that is not seen any more nothing is
        // known to be worse.
        (Some(started_at), Some(told), Some(body))
            if severity > told.severity && finding.outcome == Outcome::Fail =>
        {
            let step = told.step.saturating_add(1);
            Told {
                ends: Some(end(told, now.max(started_at), AlertEnd::Worsened)),
                begins: Some(begin(step, started_at, body)),
                alerting: Some(Alerting { step, severity }),
            }
        }
        (None, Some(told), _) => {
            let (ended_at, why) = match finding.retired_at {
                Some(retired_at) if host.revoked_at.is_some() => {
                    (retired_at, AlertEnd::HostRetired)
                }
                Some(retired_at) => (retired_at, AlertEnd::AssetRetired),
                None => (finding.changed_at, AlertEnd::Passed),
            };
            Told { ends: Some(end(told, ended_at, why)), begins: None, alerting: None }
        }
        (Some(_) | None, alerting, _) => Told { ends: None, begins: None, alerting },
    }
}

/// A stable id: receivers deduplicate on it.
fn alert_id(host_id: &str, key: &FindingKey, episode: u32, step: u32) -> String {
    let mut hash = Sha256::new();
    let mut part = |part: &str| {
        hash.update(part.as_bytes());
        hash.update([0]);
    };
    for known in ["atrest.alert/1", host_id, &key.check, &key.asset, &episode.to_string()] {
        part(known);
    }
    if step > 1 {
        part(&step.to_string());
    }
    let digest: [u8; 32] = hash.finalize().into();
    // Half of it is enough to tell alerts apart.
    hex::encode(digest.split_at(16).0)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use atrest_proto::model::Host;
    use proptest::prelude::*;

    use super::*;
    use crate::fleet::{HostId, NodeState, Observation, Place, apply, retire};

    const POLICY: Policy = Policy { min_severity: Severity::Medium };

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

    fn report(
        previous: HostState,
        sequence: u64,
        findings: &[(&str, Outcome, Severity)],
    ) -> (HostState, Vec<AlertChange>) {
        let at = Timestamp::from_second(i64::try_from(sequence).unwrap()).unwrap();
        let findings = findings.iter().map(|(asset, outcome, severity)| {
            let finding = Finding {
                check: "volume_encrypted".to_owned(),
                asset: (*asset).to_owned(),
                outcome: *outcome,
                severity: *severity,
                summary: String::new(),
                remedy: String::new(),
                reasons: Vec::new(),
                evidence: BTreeMap::new(),
                affects: Vec::new(),
            };
            let place = Place { path: "/srv/es".to_owned(), devices: vec!["/dev/sdb".to_owned()] };
            (FindingKey::from(&finding), Body::new(finding, place))
        });
        let seen = Observation {
            sequence,
            digest: [0; 32],
            outline: [0; 16],
            observed_at: at,
            host: Host::default(),
            verdict: NodeState::Encrypted,
            findings: findings.collect(),
        };
        let mut applied = apply(previous, seen, at).unwrap();
        let changes = decide(&mut applied, POLICY, at);
        (applied.state, changes)
    }

    #[test]
    fn an_alert_names_the_place_and_the_plain_device() {
        let (_, changes) = report(fresh(), 1, &[("data:/srv/es", Outcome::Fail, Severity::High)]);
        let [AlertChange::Fire(alert)] = changes.as_slice() else { panic!("{changes:?}") };
        assert_eq!(alert.path, "/srv/es");
        assert_eq!(alert.devices, ["/dev/sdb"]);
        assert_eq!(alert.cluster, "prod");
    }

    #[test]
    fn too_little_is_not_told_until_it_gets_worse() {
        let (state, changes) = report(fresh(), 1, &[("a", Outcome::Fail, Severity::Low)]);
        assert!(changes.is_empty());
        let (state, changes) = report(state, 2, &[("a", Outcome::Fail, Severity::High)]);
        assert_eq!(changes.len(), 1);
        let (_, changes) = report(state, 3, &[("a", Outcome::Fail, Severity::High)]);
        assert!(changes.is_empty(), "told once");
    }

    #[test]
    fn what_gets_worse_is_another_alert() {
        let told = |severity| [("a", Outcome::Fail, severity)];
        let (state, first) = report(fresh(), 1, &told(Severity::Medium));
        let (state, changes) = report(state, 2, &told(Severity::Critical));
        let [AlertChange::Resolve { alert_id, ended_at, end }, AlertChange::Fire(alert)] =
            changes.as_slice()
        else {
            panic!("{changes:?}")
        };
        assert_eq!(alert_id, first[0].alert_id());
        assert_eq!((*end, *ended_at), (AlertEnd::Worsened, Timestamp::from_second(2).unwrap()));
        assert_ne!(alert.alert_id, *alert_id);
        assert_eq!(alert.finding.severity, Severity::Critical);
        assert_eq!(alert.started_at, Timestamp::from_second(1).unwrap(), "it has failed since");
        assert_eq!(state.firing(), 1);
        // Better, and as bad as it was told: nothing new.
        let (state, changes) = report(state, 3, &told(Severity::Medium));
        assert!(changes.is_empty(), "{changes:?}");
        let (state, changes) = report(state, 4, &told(Severity::Critical));
        assert!(changes.is_empty(), "{changes:?}");
        let (_, over) = report(state, 5, &[("a", Outcome::Pass, Severity::Info)]);
        assert_eq!(over[0].alert_id(), alert.alert_id);
    }

    #[test]
    fn what_is_not_known_any_more_is_not_told_as_worse() {
        let (state, _) = report(fresh(), 1, &[("a", Outcome::Fail, Severity::Medium)]);
        let (_, changes) = report(state, 2, &[("a", Outcome::Unknown, Severity::Critical)]);
        assert!(changes.is_empty(), "{changes:?}");
    }

    #[test]
    fn an_asset_that_vanishes_keeps_its_alert() {
        let (state, fired) = report(fresh(), 1, &[("a", Outcome::Fail, Severity::High)]);
        let (state, changes) = report(state, 2, &[]);
        assert!(changes.is_empty());
        let (_, changes) = report(state, 3, &[("a", Outcome::Pass, Severity::High)]);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].alert_id(), fired[0].alert_id());
        assert_eq!(changes[0].state(), AlertState::Resolved);
    }

    #[test]
    fn an_alert_that_ends_with_its_host_does_not_claim_a_fix_and_can_fire_again() {
        let (state, fired) = report(fresh(), 1, &[("a", Outcome::Fail, Severity::High)]);
        let now = Timestamp::from_second(9).unwrap();
        let mut retired = retire(state, now).unwrap();
        let changes = decide(&mut retired, POLICY, now);
        let alert_id = fired[0].alert_id().to_owned();
        let end = AlertEnd::HostRetired;
        assert_eq!(changes, [AlertChange::Resolve { alert_id, ended_at: now, end }]);
        assert_eq!(retired.state.firing(), 0);
        let back = HostState { revoked_at: None, ..retired.state };
        let (state, again) = report(back, 2, &[("a", Outcome::Fail, Severity::High)]);
        assert_eq!(again.len(), 1);
        assert_ne!(again[0].alert_id(), fired[0].alert_id(), "an alert of its own");
        let (_, over) = report(state, 3, &[("a", Outcome::Pass, Severity::High)]);
        let passed = |change: &AlertChange| {
            matches!(change, AlertChange::Resolve { end: AlertEnd::Passed, .. })
        };
        assert!(over.len() == 1 && over.iter().all(passed));
    }

    proptest! {
        /// Any order of reports ends in the right set of firing alerts, and per asset firing and
        /// resolved alternate, each pair with an id of its own.
        #[test]
        fn the_firing_alerts_are_the_open_findings_that_matter(
            reports in prop::collection::vec(
                prop::collection::btree_map(
                    0_u8..3,
                    (prop::sample::select(Outcome::ALL), prop::sample::select(Severity::ALL)),
                    0..3,
                ),
                1..20,
            ),
        ) {
            let mut state = fresh();
            let mut firing = BTreeSet::new();
            let mut used = BTreeSet::new();
            for (sequence, findings) in (1..).zip(&reports) {
                let assets: Vec<_> = findings.keys().map(|asset| format!("data:/{asset}")).collect();
                let findings: Vec<_> = assets
                    .iter()
                    .zip(findings.values())
                    .map(|(asset, (outcome, severity))| (asset.as_str(), *outcome, *severity))
                    .collect();
                let (next, changes) = report(state, sequence, &findings);
                for change in changes {
                    match change.state() {
                        AlertState::Firing => {
                            prop_assert!(used.insert(change.alert_id().to_owned()), "an id twice");
                            prop_assert!(firing.insert(change.alert_id().to_owned()));
                        }
                        AlertState::Resolved => prop_assert!(firing.remove(change.alert_id())),
                    }
                }
                for finding in next.findings.values() {
                    prop_assert!(finding.alerting.is_none() || finding.is_open());
                    if finding.is_open() && finding.absent_since.is_none()
                        && finding.outcome == Outcome::Fail && finding.severity >= POLICY.min_severity
                    {
                        prop_assert!(finding.alerting.is_some_and(|told| told.severity >= finding.severity));
                    }
                }
                prop_assert_eq!(u32::try_from(firing.len()).unwrap(), next.firing());
                state = next;
            }
        }
    }
}
