//! Where the fleet is kept. One trait; what a store has acknowledged survives the power cut.
//!
//! Rows stop here: what goes in and out is the product's own vocabulary. A store is a thing that
//! passes the suite in `conformance`.

#[cfg(test)]
mod conformance;
mod page;
pub mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use atrest_proto::model::{Finding, Host, Outcome, Severity};
use jiff::Timestamp;
use prost::bytes::Bytes;
use thiserror::Error;

use crate::access::Account;
use crate::alert::{Ack, Alert, AlertChange, AlertEnd, AlertState, Routes};
use crate::audit::Entry;
use crate::enrollment::{Application, Refusal, Token};
use crate::fleet::cluster::{ClusterKey, Member};
use crate::fleet::roster::{Enrolled, Sighting, Standing};
use crate::fleet::{
    Body, Digest, FindingKey, FindingState, HostId, HostState, NodeState, Outline, Place,
    Transition,
};

use crate::labels::Labels;

pub use page::{Page, PageRequest};

/// What a database said. Shared: one failed commit fails everyone who was in it.
type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why a store could not do it.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    #[error("there is no room left for the database")]
    Full(#[source] Cause),
    #[error("could not {operation}")]
    Failed {
        operation: &'static str,
        #[source]
        source: Cause,
    },
    #[error("host {0} is not enrolled")]
    NoSuchHost(HostId),
    /// A host that was revoked does not change any more.
    #[error("host {0} was revoked by an operator")]
    Revoked(HostId),
    #[error("this page token is not one of ours")]
    PageToken,
    #[error("the store has stopped")]
    Stopped,
}

/// A change of one host, to be made in one transaction.
#[derive(Debug)]
pub struct Change {
    /// As it stands afterwards.
    pub state: HostState,
    /// The posture that a report brought.
    pub report: Option<StoredReport>,
    /// Findings to write. A text is kept with those that have a content: the one that is given, the one that is kept
    /// already, or the one of the posture that was the last until now.
    pub findings: Vec<(FindingKey, FindingState, Option<Body>)>,
    pub removed: Vec<FindingKey>,
    pub transitions: Vec<Transition>,
    pub alerts: Vec<AlertChange>,
    /// Who is to be told of the alerts.
    pub routes: Arc<Routes>,
    pub at: Timestamp,
}

/// What is kept of a report.
#[derive(Debug)]
pub struct StoredReport {
    /// As `atrest_proto::convert::posture_from_bytes` reads it.
    pub posture: Bytes,
    pub observed_at: Timestamp,
    pub host: Host,
}

/// A report with the outline of the one before: nothing is decided, it only takes that one's place.
#[derive(Debug)]
pub struct Repeat {
    pub sequence: u64,
    pub digest: Digest,
    pub outline: Outline,
    /// As [`StoredReport`] has it.
    pub posture: Bytes,
    pub observed_at: Timestamp,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repeated {
    Done(Standing),
    /// This or a later report was applied before.
    Before,
    /// The report before has another outline: nothing was written, and this one is to be applied.
    Differs,
}

/// Decides a change from the host's present state, inside the transaction; `None` changes nothing.
pub type Step = Box<dyn FnOnce(HostState) -> Option<Change> + Send>;

/// A machine that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    pub host: Enrolled,
    pub cluster: String,
}

/// The end of a host's enrolment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    pub at: Timestamp,
    /// The operator's name.
    pub by: String,
    /// For people; may be empty.
    pub reason: String,
}

/// A host in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRow {
    pub host_id: HostId,
    pub hostname: String,
    pub cluster: String,
    pub state: NodeState,
    pub enrolled_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub observed_at: Option<Timestamp>,
    pub sequence: u64,
    pub failing: u32,
    pub agent_version: String,
    pub labels: Labels,
    pub revocation: Option<Revocation>,
}

/// Which hosts to list. Worst first. Those that are revoked only when their state or their name is asked for.
#[derive(Debug, Clone, Default)]
pub struct HostFilter {
    pub state: Option<NodeState>,
    /// A host id or a host name.
    pub node: Option<String>,
    /// All of these.
    pub labels: Labels,
}

/// A finding in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingRow {
    pub host_id: HostId,
    pub hostname: String,
    pub finding: Finding,
    pub place: Place,
    pub first_seen_at: Timestamp,
    pub changed_at: Timestamp,
    pub opened_at: Option<Timestamp>,
    pub absent_since: Option<Timestamp>,
    pub retired_at: Option<Timestamp>,
    pub alerting: bool,
}

/// Which findings to list. The most severe first. Those of hosts that are revoked only when one is named.
#[derive(Debug, Clone, Default)]
pub struct FindingFilter {
    /// `None`: failures, unknowns, and whatever is still open.
    pub outcome: Option<Outcome>,
    pub check: Option<String>,
    pub node: Option<String>,
    /// Only open ones of at least this severity that have no alert.
    pub untold: Option<Severity>,
}

/// One time that a check failed on an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    pub host_id: HostId,
    pub hostname: String,
    pub check: String,
    pub asset: String,
    pub episode: u32,
    /// By the host's clock, as all times here but `told_at`.
    pub opened_at: Timestamp,
    pub told_at: Timestamp,
    /// When the asset was last missing from a report that had it before.
    pub absent_at: Option<Timestamp>,
    /// `None` while it goes on.
    pub ended: Option<(Timestamp, AlertEnd)>,
}

/// Which exposures to list. The newest first, of all hosts.
#[derive(Debug, Clone, Default)]
pub struct ExposureFilter {
    pub node: Option<String>,
    pub check: Option<String>,
    /// Only what goes on, or ended then or later.
    pub since: Option<Timestamp>,
}

/// An alert in a list, with what became of telling it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRow {
    pub alert: Alert,
    /// The last one, whether or not it still holds.
    pub ack: Option<Ack>,
    pub deliveries: Vec<DeliveryRow>,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    Pending,
    Delivered,
    /// Given up: kept, listed, not tried again.
    Failed,
}

impl DeliveryStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// One message to one notifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    pub delivery_id: i64,
    pub notifier: String,
    pub state: AlertState,
    pub status: DeliveryStatus,
    pub attempts: u32,
    pub last_error: String,
    pub delivered_at: Option<Timestamp>,
    /// How often it was told again, as a reminder.
    pub repeat: u32,
}

/// A message that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub delivery_id: i64,
    pub notifier: String,
    pub state: AlertState,
    pub attempts: u32,
    pub error: String,
    /// `None` for those of earlier versions.
    pub failed_at: Option<Timestamp>,
    pub alert: Alert,
}

/// Messages of one notifier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// Still to be told.
    pub pending: u64,
    /// Given up.
    pub failed: u64,
}

/// A message that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDelivery {
    pub delivery_id: i64,
    /// What it tells: the alert may have moved on since.
    pub state: AlertState,
    /// How often it has been tried.
    pub attempts: u32,
    /// How often it was told before.
    pub repeat: u32,
    pub due_at: Timestamp,
    pub alert: Alert,
}

/// What is due for a notifier now, in order, and when to ask again if nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    pub deliveries: Vec<DueDelivery>,
    pub next_at: Option<Timestamp>,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    Delivered { at: Timestamp },
    RetryAt { next_at: Timestamp, error: String },
    GivenUp { at: Timestamp, error: String },
}

/// Where the fleet is kept. Everything that returns `Ok` is durable.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    // What an operator changes takes its entry of the audit log with it, in the same transaction.
    async fn token_create(
        &self,
        token: Token,
        secret_hash: Digest,
        entry: Entry,
    ) -> Result<(), StoreError>;
    async fn token_list(&self) -> Result<Vec<Token>, StoreError>;
    /// Whether there is such a token. Idempotent.
    async fn token_revoke(
        &self,
        token_id: String,
        at: Timestamp,
        entry: Entry,
    ) -> Result<bool, StoreError>;

    /// `false` when an account that is not revoked has the name: nothing was written then.
    async fn operator_create(&self, account: Account, entry: Entry) -> Result<bool, StoreError>;
    /// Those that are not revoked first, then the newest.
    async fn operator_list(&self) -> Result<Vec<Account>, StoreError>;
    /// The one with this id or name as it stands afterwards; `None` when there is none. Idempotent.
    async fn operator_revoke(
        &self,
        operator: String,
        at: Timestamp,
        entry: Entry,
    ) -> Result<Option<Account>, StoreError>;

    /// Spends one use of a token and creates the host, or neither.
    async fn host_enroll(
        &self,
        application: Application,
    ) -> Result<Result<Admitted, Refusal>, StoreError>;
    /// Runs a step on a host's state and writes what it decides; `None` when that was nothing. Not for a host that
    /// is revoked.
    async fn host_change(&self, host: HostId, step: Step) -> Result<Option<Standing>, StoreError>;
    /// Puts a report in the place of the one before, when that has the same outline. Not for a host that is revoked.
    async fn host_repeat(&self, host: HostId, repeat: Repeat) -> Result<Repeated, StoreError>;
    /// The same by an operator, with the entry of who did it, or nothing of it.
    async fn host_amend(
        &self,
        host: HostId,
        step: Step,
        entry: Entry,
    ) -> Result<Option<Standing>, StoreError>;
    /// Ends a host's enrolment: writes what the step decides, who did it, and takes the tokens away that would
    /// replace the host, or nothing of it. `None` when it was revoked before.
    async fn host_revoke(
        &self,
        host: HostId,
        revocation: Revocation,
        step: Step,
        entry: Entry,
    ) -> Result<Option<Standing>, StoreError>;
    /// The server itself, of which findings are kept as of hosts. Called so from now on; made when there is none yet. It
    /// is in no list of hosts.
    async fn host_own(&self, hostname: String, at: Timestamp) -> Result<HostId, StoreError>;
    /// The search cluster, of which findings are kept as of hosts. Called so from now on; made when there is none yet. It
    /// is in no list of hosts.
    async fn cluster_own(
        &self,
        cluster: ClusterKey,
        name: String,
        at: Timestamp,
    ) -> Result<HostId, StoreError>;
    /// Every search cluster of which there are findings, with what it is kept as.
    async fn cluster_list(&self) -> Result<Vec<(ClusterKey, HostId)>, StoreError>;
    /// Keeps what is known of a host's nodes; it goes with the host's enrolment.
    async fn member_keep(&self, host: HostId, member: Member) -> Result<(), StoreError>;
    /// The same of all hosts that are enrolled.
    async fn member_list(&self) -> Result<Vec<(HostId, Member)>, StoreError>;
    /// Notes when hosts were last heard of.
    async fn host_sightings(&self, sightings: Vec<Sighting>) -> Result<(), StoreError>;
    /// Every host, for the roster.
    async fn host_roster(&self) -> Result<Vec<Enrolled>, StoreError>;
    async fn host_list(
        &self,
        filter: HostFilter,
        page: PageRequest,
    ) -> Result<Page<HostRow>, StoreError>;
    /// The posture that the last report brought, as it was given.
    async fn host_posture(&self, host: HostId) -> Result<Option<Vec<u8>>, StoreError>;

    async fn finding_list(
        &self,
        filter: FindingFilter,
        page: PageRequest,
    ) -> Result<Page<FindingRow>, StoreError>;

    async fn history_list(
        &self,
        filter: ExposureFilter,
        page: PageRequest,
    ) -> Result<Page<Exposure>, StoreError>;
    /// Throws away some of the episodes, and of the alerts with their messages, that ended before `before`. Never
    /// what goes on. `true` when there is more.
    async fn history_prune(&self, before: Timestamp) -> Result<bool, StoreError>;

    /// Newest first.
    async fn alert_list(
        &self,
        state: AlertState,
        page: PageRequest,
    ) -> Result<Page<AlertRow>, StoreError>;
    /// Alerts whose id begins so, at most two.
    async fn alert_find(&self, prefix: String) -> Result<Vec<AlertRow>, StoreError>;
    /// Whether there is such an alert and it is firing: nothing was written otherwise. The last one counts.
    async fn alert_acknowledge(
        &self,
        alert_id: String,
        ack: Ack,
        entry: Entry,
    ) -> Result<bool, StoreError>;

    /// At most `limit` due messages of at least this severity. A message waits while an earlier one of the same check
    /// and asset does, which goes out with it whatever its own severity is.
    async fn delivery_due(
        &self,
        notifier: String,
        least: Severity,
        limit: usize,
        now: Timestamp,
    ) -> Result<Due, StoreError>;
    /// What became of messages: of all of them, or of none.
    async fn delivery_record(&self, attempts: Vec<(i64, Attempt)>) -> Result<(), StoreError>;
    /// Makes messages of a notifier due that would be tried after `later_than` only.
    async fn delivery_hasten(
        &self,
        notifier: String,
        later_than: Timestamp,
        at: Timestamp,
    ) -> Result<(), StoreError>;
    /// Tells a notifier again of what is firing, was last told before `told_before`, and is not acknowledged. Whether
    /// there was any.
    async fn delivery_repeat(
        &self,
        notifier: String,
        told_before: Timestamp,
        at: Timestamp,
    ) -> Result<bool, StoreError>;
    /// By notifier; those without any are left out.
    async fn delivery_counts(&self) -> Result<BTreeMap<String, DeliveryCounts>, StoreError>;
    /// What was given up, the newest message first.
    async fn delivery_dead(&self, page: PageRequest) -> Result<Page<DeadLetter>, StoreError>;
    /// Takes up what was given up, of these notifiers: one message, or all. The end of an alert goes out again after
    /// its beginning. How many messages that are; no entry is written for none.
    async fn delivery_retry(
        &self,
        which: Option<i64>,
        notifiers: Vec<String>,
        at: Timestamp,
        entry: Entry,
    ) -> Result<u64, StoreError>;
    /// Tells notifiers of what is firing and they were not told of, and gives up what is for notifiers that are gone.
    async fn delivery_join(&self, routes: Arc<Routes>, at: Timestamp) -> Result<(), StoreError>;
    /// How many calls wait for the store.
    fn waiting(&self) -> usize;
    /// Writes all of them, or none.
    async fn audit_append(&self, entries: Vec<Entry>) -> Result<(), StoreError>;
    /// Newest first.
    async fn audit_list(&self, page: PageRequest) -> Result<Page<Entry>, StoreError>;
    /// Throws away some of what is older than `before`, or more than the newest `keep`. `true` when there is more.
    async fn audit_prune(&self, before: Timestamp, keep: u64) -> Result<bool, StoreError>;
}
