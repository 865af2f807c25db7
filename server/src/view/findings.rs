//! Findings across the fleet.

use atrest_proto::convert::InvalidField;
use atrest_proto::model::Finding;
use atrest_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

use super::time;

/// A finding, with the host that it is of and what became of it.
#[derive(Debug, Serialize)]
pub struct FleetFinding {
    pub host_id: String,
    pub hostname: String,
    pub first_seen_at: Option<Timestamp>,
    pub changed_at: Option<Timestamp>,
    pub opened_at: Option<Timestamp>,
    pub absent_since: Option<Timestamp>,
    pub retired_at: Option<Timestamp>,
    #[serde(flatten)]
    pub finding: Finding,
}

impl FleetFinding {
    /// `None` where the row tells of no finding.
    pub fn read(row: v1::FleetFinding) -> Result<Option<Self>, InvalidField> {
        let Some(finding) = row.finding else { return Ok(None) };
        Ok(Some(Self {
            host_id: row.host_id,
            hostname: row.hostname,
            first_seen_at: time(row.first_seen_at),
            changed_at: time(row.changed_at),
            opened_at: time(row.opened_at),
            absent_since: time(row.absent_since),
            retired_at: time(row.retired_at),
            finding: Finding::try_from(finding)?,
        }))
    }
}

/// A list of findings.
#[derive(Debug, Serialize)]
pub struct Findings {
    schema: &'static str,
    pub findings: Vec<FleetFinding>,
}

impl Findings {
    pub const fn new(findings: Vec<FleetFinding>) -> Self {
        Self { schema: "atrest.findings/1", findings }
    }
}
