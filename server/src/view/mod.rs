//! What operators read, as JSON: the same for `atrestctl --format json` and for the API of the operators' port.
//!
//! Made from what the RPCs answer. Each document has a schema; keys come, but do not go or change within one.

mod alerts;
mod audit;
mod findings;
mod history;
mod nodes;
mod status;

use atrest_proto::convert::timestamp_from_wire;
use jiff::Timestamp;

pub use alerts::{Ack, Alert, Alerts, Delivery, alert_state};
pub use audit::{Audit, AuditEntry, role};
pub use findings::{Findings, FleetFinding};
pub use history::{Exposure, History};
pub use nodes::{Node, NodeAnswer, Nodes, Revocation, node_state};
pub use status::{Counts, Group, Groups, SearchCluster, Status};

/// A time from the wire; what is not one is not shown.
pub fn time(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    timestamp_from_wire(at, "time").ok()
}
