//! What operators changed, tried to change, and were denied.

use atrest_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

use super::time;

/// An entry of the audit log.
#[derive(Debug, Serialize)]
pub struct AuditEntry {
    /// Of several calls: the last one.
    pub at: Option<Timestamp>,
    /// Empty when the token named nobody.
    pub operator: String,
    pub role: Option<&'static str>,
    pub rpc: String,
    pub object: String,
    pub address: String,
    pub outcome: &'static str,
    pub detail: String,
    pub count: u64,
}

/// A list of entries, the newest first.
#[derive(Debug, Serialize)]
pub struct Audit {
    schema: &'static str,
    pub entries: Vec<AuditEntry>,
    /// There is more than was asked for.
    pub more: bool,
}

impl Audit {
    pub const fn new(entries: Vec<AuditEntry>, more: bool) -> Self {
        Self { schema: "atrest.audit/1", entries, more }
    }
}

/// The word for a role.
pub fn role(role: i32) -> &'static str {
    match v1::OperatorRole::try_from(role) {
        Ok(v1::OperatorRole::Viewer) => "viewer",
        Ok(v1::OperatorRole::Operator) => "operator",
        Ok(v1::OperatorRole::Admin) => "admin",
        Ok(v1::OperatorRole::Unspecified) | Err(_) => "unknown",
    }
}

const fn word(outcome: v1::AuditOutcome) -> &'static str {
    match outcome {
        v1::AuditOutcome::Done => "done",
        v1::AuditOutcome::Denied => "denied",
        v1::AuditOutcome::Failed => "failed",
        v1::AuditOutcome::Unspecified => "unknown",
    }
}

impl From<v1::AuditEntry> for AuditEntry {
    fn from(entry: v1::AuditEntry) -> Self {
        Self {
            at: time(entry.at),
            outcome: word(entry.outcome()),
            role: (entry.role() != v1::OperatorRole::Unspecified).then(|| role(entry.role)),
            operator: entry.operator,
            rpc: entry.rpc,
            object: entry.object,
            address: entry.address,
            detail: entry.detail,
            count: entry.count,
        }
    }
}
