//! Hosts.

use std::collections::BTreeMap;

use atrest_proto::convert::InvalidField;
use atrest_proto::model::Posture;
use atrest_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

use super::time;

/// The word for a state; what a newer server says beyond these is unknown here.
pub fn node_state(state: i32) -> &'static str {
    match v1::NodeState::try_from(state) {
        Ok(v1::NodeState::Unencrypted) => "unencrypted",
        Ok(v1::NodeState::Partial) => "partial",
        Ok(v1::NodeState::Stale) => "stale",
        Ok(v1::NodeState::Claimed) => "claimed",
        Ok(v1::NodeState::Encrypted) => "encrypted",
        Ok(v1::NodeState::Revoked) => "revoked",
        Ok(v1::NodeState::Unknown | v1::NodeState::Unspecified) | Err(_) => "unknown",
    }
}

/// A host.
#[derive(Debug, Serialize)]
pub struct Node {
    pub host_id: String,
    pub hostname: String,
    pub cluster: String,
    pub state: &'static str,
    pub connected: bool,
    pub failing_findings: u32,
    pub enrolled_at: Option<Timestamp>,
    pub last_seen_at: Option<Timestamp>,
    pub observed_at: Option<Timestamp>,
    pub sequence: u64,
    pub agent_version: String,
    pub labels: BTreeMap<String, String>,
    /// Absent for a host that is enrolled.
    pub revoked: Option<Revocation>,
}

/// Who ended a host's enrolment, when and why.
#[derive(Debug, Serialize)]
pub struct Revocation {
    pub at: Timestamp,
    pub by: String,
    pub reason: String,
}

impl From<v1::Node> for Node {
    fn from(node: v1::Node) -> Self {
        Self {
            host_id: node.host_id,
            hostname: node.hostname,
            cluster: node.cluster,
            state: node_state(node.state),
            connected: node.connected,
            failing_findings: node.failing_findings,
            enrolled_at: time(node.enrolled_at),
            last_seen_at: time(node.last_seen_at),
            observed_at: time(node.observed_at),
            sequence: node.sequence,
            agent_version: node.agent_version,
            labels: node.labels,
            revoked: time(node.revoked_at).map(|at| Revocation {
                at,
                by: node.revoked_by,
                reason: node.revoked_reason,
            }),
        }
    }
}

/// A list of hosts.
#[derive(Debug, Serialize)]
pub struct Nodes {
    schema: &'static str,
    pub nodes: Vec<Node>,
}

impl Nodes {
    pub const fn new(nodes: Vec<Node>) -> Self {
        Self { schema: "atrest.nodes/1", nodes }
    }
}

/// One host, with what it last reported.
#[derive(Debug, Serialize)]
pub struct NodeAnswer {
    schema: &'static str,
    pub node: Node,
    /// Absent until the first report.
    pub posture: Option<Posture>,
}

impl NodeAnswer {
    pub const fn new(node: Node, posture: Option<Posture>) -> Self {
        Self { schema: "atrest.node/1", node, posture }
    }

    /// `None` where the answer tells of no host.
    pub fn read(answer: v1::GetNodeResponse) -> Result<Option<Self>, InvalidField> {
        let posture = answer.posture.map(Posture::try_from).transpose()?;
        Ok(answer.node.map(|node| Self::new(node.into(), posture)))
    }
}
