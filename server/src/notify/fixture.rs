//! Alerts for tests of notifiers.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Outcome, Severity};
use jiff::Timestamp;
use proptest::prelude::*;

use super::{Message, Notice};
use crate::alert::{Alert, AlertEnd, AlertState};

pub(super) fn alert(alert_id: &str) -> Alert {
    Alert {
        alert_id: alert_id.to_owned(),
        host_id: "11111111-2222-4333-8444-555555555555".to_owned(),
        hostname: "es-1".to_owned(),
        cluster: "prod".to_owned(),
        finding: Finding {
            check: "volume_encrypted".to_owned(),
            asset: "data:/srv/es".to_owned(),
            outcome: Outcome::Fail,
            severity: Severity::High,
            summary: "/srv/es rests in plaintext on /dev/sdb".to_owned(),
            remedy: "put dm-crypt under it:\n  cryptsetup luksFormat /dev/sdb".to_owned(),
            reasons: Vec::new(),
            evidence: BTreeMap::new(),
            affects: Vec::new(),
        },
        path: "/srv/es".to_owned(),
        devices: vec!["/dev/sdb".to_owned(), "/dev/sdc".to_owned()],
        episode: 1,
        started_at: Timestamp::from_second(1_700_000_000).unwrap(),
        ended_at: Some(Timestamp::from_second(1_700_003_661).unwrap()),
        end: Some(AlertEnd::Passed),
    }
}

/// A thousand hosts, of which every tenth is fixed already.
pub(super) fn storm() -> Vec<Alert> {
    (0..1_000)
        .map(|number| {
            let mut alert = alert(&format!("{number:032x}"));
            alert.hostname = format!("es-{number:04}");
            alert.host_id = format!("host-{number}");
            if number % 4 == 0 {
                alert.finding.check = "swap_encrypted".to_owned();
                alert.finding.severity = Severity::Medium;
            }
            alert
        })
        .collect()
}

/// Of a storm, one message of each alert.
pub(super) fn told(alerts: &[Alert]) -> Notice<'_> {
    let message = |(number, alert)| {
        let is_over = number % 10 == 9;
        let state = if is_over { AlertState::Resolved } else { AlertState::Firing };
        Message { alert, state, repeat: 0 }
    };
    Notice { messages: alerts.iter().enumerate().map(message).collect() }
}

pub(super) fn one(alert: &Alert, state: AlertState) -> Notice<'_> {
    Notice { messages: vec![Message { alert, state, repeat: 0 }] }
}

/// Alerts of hosts that lie: any text in every field.
pub(super) fn any_alert() -> impl Strategy<Value = Alert> {
    let text = || prop_oneof![any::<String>(), "[ -~\\n\\r\\t<>&\"'`@|\\\\\\]]{0,300}"];
    (text(), text(), text(), text(), text(), text(), text(), prop::collection::vec(text(), 0..3))
        .prop_map(|(hostname, cluster, check, asset, summary, remedy, path, devices)| {
            let base = alert("0123");
            let finding = Finding { check, asset, summary, remedy, ..base.finding };
            Alert { hostname, cluster, finding, path, devices, ..base }
        })
}
