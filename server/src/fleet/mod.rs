//! What the server holds of each host, and how a report changes it. Pure: no clock, no store, no wire.
//!
//! [`Observation`] is a report made ready; [`apply()`] turns the previous [`HostState`] and an
//! observation into the next one and the [`Transition`]s between them. Absence never resolves.

#![forbid(unsafe_code)]

mod apply;
pub mod certificate;
pub mod clash;
pub mod cluster;
pub mod duty;
mod lifecycle;
mod observation;
mod retire;
mod rollup;
pub mod roster;
mod silence;
pub mod vouching;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use atrest_proto::model::{Finding, Outcome, Severity};
use jiff::Timestamp;
use thiserror::Error;

pub use apply::{Applied, apply};
pub use observation::{Body, Observation, Place, bodies, outline};
pub use retire::{retire, retire_asset};
pub use rollup::NodeState;
pub use silence::{NODE_SILENT, fall_silent, return_from_silence};

/// Checks that only the server runs. Agents may not report them, and absence does not touch them.
pub const SERVER_CHECKS: &[&str] = &[
    NODE_SILENT,
    clash::IDENTITY_CLASH,
    certificate::CERTIFICATE_ENDING,
    cluster::NODE_MISSING,
    cluster::KEYSTORE_DIFFERS,
];

/// Checks that say whether plaintext rests, or may come to rest, on a host: its state is no better than they are.
pub const AT_REST: &[&str] = &[
    "volume_encrypted",
    "swap_encrypted",
    "hibernation_encrypted",
    "core_dumps_contained",
    "reencryption_complete",
    "spare_encrypted",
    "symlink_leaves",
];

/// The identity of a host: what its certificate says. Made by the server, never by a host.
///
/// Its text without a heap: every map of hosts has a copy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId([u8; LENGTH]);

/// Of a UUID with its hyphens.
const LENGTH: usize = uuid::fmt::Hyphenated::LENGTH;

/// A text that is not a host id.
#[derive(Debug, Error)]
#[error("not a host id")]
pub struct NotAHostId;

impl HostId {
    /// A new one, never used before.
    pub fn random() -> Self {
        Self::of(uuid::Uuid::new_v4())
    }

    fn of(id: uuid::Uuid) -> Self {
        let mut text = [0; LENGTH];
        id.hyphenated().encode_lower(&mut text);
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        // It is ASCII, always.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for HostId {
    type Err = NotAHostId;

    fn from_str(text: &str) -> Result<Self, NotAHostId> {
        let id = Self::of(uuid::Uuid::try_parse(text).map_err(|_| NotAHostId)?);
        // Only the canonical spelling: two spellings would be two identities.
        if id.as_str() == text { Ok(id) } else { Err(NotAHostId) }
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostId").field(&self.as_str()).finish()
    }
}

/// The digest of a posture, as agent and server compute it.
pub type Digest = [u8; 32];

/// One check on one asset of a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FindingKey {
    pub check: String,
    pub asset: String,
}

impl FindingKey {
    pub fn new(check: impl Into<String>, asset: impl Into<String>) -> Self {
        Self { check: check.into(), asset: asset.into() }
    }

    /// Whether the server itself decides this one.
    /// Whether it is about what rests on the host, and not how well it is guarded.
    pub fn is_at_rest(&self) -> bool {
        AT_REST.contains(&self.check.as_str())
    }

    pub fn is_servers_own(&self) -> bool {
        SERVER_CHECKS.contains(&self.check.as_str())
    }
}

impl From<&Finding> for FindingKey {
    fn from(finding: &Finding) -> Self {
        Self::new(&*finding.check, &*finding.asset)
    }
}

/// What a report says of its host and of how things stand, without words and evidence: between reports that have the same
/// one, nothing is decided.
pub type Outline = [u8; 16];

/// A digest of the text that is kept with a finding: tells "changed" from "the same" without it.
pub type Content = [u8; 16];

/// What people were told last of a finding that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alerting {
    /// Grows with each alert of one episode, from 1.
    pub step: u32,
    pub severity: Severity,
}

/// A finding over time. Its text is elsewhere; here is what decisions need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingState {
    pub outcome: Outcome,
    pub severity: Severity,
    /// Set when its text is kept with it: the server's own, and what the host's posture no longer speaks of. Otherwise
    /// its text is in the posture.
    pub content: Option<Content>,
    pub first_seen_at: Timestamp,
    /// When the outcome last changed.
    pub changed_at: Timestamp,
    /// Set from a failure until a pass: an `unknown` in between does not end it.
    pub opened_at: Option<Timestamp>,
    /// How often it has been opened.
    pub episode: u32,
    /// The alert that is firing for this episode.
    pub alerting: Option<Alerting>,
    /// Since when the asset has been missing from reports.
    pub absent_since: Option<Timestamp>,
    /// When it ended because its host was revoked or its asset is gone: nobody saw it fixed.
    pub retired_at: Option<Timestamp>,
}

impl FindingState {
    pub const fn is_open(&self) -> bool {
        self.opened_at.is_some()
    }
}

/// A host as the server holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostState {
    pub host_id: HostId,
    pub hostname: String,
    pub cluster: String,
    /// Grows with every write: tells a late copy from a fresh one.
    pub revision: u64,
    /// The highest report that was applied.
    pub sequence: u64,
    pub digest: Option<Digest>,
    /// Of the report that was applied last; `None` when its findings may stand otherwise than that left them.
    pub outline: Option<Outline>,
    /// What its paths last said, whether or not it has been heard of since.
    pub verdict: NodeState,
    /// When an operator ended its enrolment.
    pub revoked_at: Option<Timestamp>,
    pub findings: BTreeMap<FindingKey, FindingState>,
}

impl HostState {
    /// Not heard of for longer than allowed.
    pub fn is_silent(&self) -> bool {
        self.findings.get(&silence::key()).is_some_and(FindingState::is_open)
    }

    /// What may be said of the host now.
    pub fn state(&self) -> NodeState {
        NodeState::now(self.verdict, self.is_silent(), self.revoked_at.is_some())
    }

    pub fn failing(&self) -> u32 {
        count(self.findings.values().filter(|finding| finding.is_open()))
    }

    pub fn firing(&self) -> u32 {
        count(self.findings.values().filter(|finding| finding.alerting.is_some()))
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

/// What happened to a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransitionKind {
    Opened,
    Reopened,
    Resolved,
    /// Its asset is no longer reported. It stays open.
    Absent,
    /// Its host was revoked. It is over, and was not seen to pass.
    Retired,
    /// Its asset is gone, an operator says. It is over, and was not seen to pass.
    AssetRetired,
}

impl TransitionKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reopened => "reopened",
            Self::Resolved => "resolved",
            Self::Absent => "absent",
            Self::Retired => "retired",
            Self::AssetRetired => "asset_retired",
        }
    }
}

/// A change of a finding, for the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub key: FindingKey,
    pub kind: TransitionKind,
    pub episode: u32,
    /// When it happened, as far as the host could tell.
    pub at: Timestamp,
}
