//! A host that is no longer heard of: the server's own finding `node_silent`.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Outcome, Severity};
use jiff::Timestamp;

use super::observation::{Body, Place};
use super::{Applied, FindingKey, HostState};

/// The check of the catalogue.
pub const NODE_SILENT: &str = "node_silent";
/// The asset is the host itself.
const ASSET: &str = "host";

pub(super) fn key() -> FindingKey {
    FindingKey::new(NODE_SILENT, ASSET)
}

/// The host has not been heard of since `last_seen`; `None` when that is known already.
pub fn fall_silent(previous: HostState, last_seen: Timestamp, now: Timestamp) -> Option<Applied> {
    if previous.is_silent() {
        return None;
    }
    let mut applied = Applied::new(previous);
    let body = silent(&applied.state, last_seen);
    applied.meet(key(), body, now);
    Some(applied)
}

/// The host is heard of again; `None` when it was not missed.
pub fn return_from_silence(previous: HostState, now: Timestamp) -> Option<Applied> {
    if !previous.is_silent() {
        return None;
    }
    let mut applied = Applied::new(previous);
    let body = heard(&applied.state);
    applied.meet(key(), body, now);
    Some(applied)
}

fn silent(state: &HostState, last_seen: Timestamp) -> Body {
    let hostname = &state.hostname;
    let remedy =
        format!("on {hostname}, look at `systemctl status atrest-agent` and `atrest-agent status`");
    let evidence = BTreeMap::from([("last_seen_at".to_owned(), format!("{last_seen:.0}"))]);
    body(Outcome::Fail, format!("{hostname} has not been heard of"), remedy, evidence)
}

fn heard(state: &HostState) -> Body {
    let summary = format!("{} is heard of", state.hostname);
    body(Outcome::Pass, summary, String::new(), BTreeMap::new())
}

fn body(
    outcome: Outcome,
    summary: String,
    remedy: String,
    evidence: BTreeMap<String, String>,
) -> Body {
    let finding = Finding {
        check: NODE_SILENT.to_owned(),
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
