//! The fleet in numbers.

use atrest_proto::v1;
use jiff::Timestamp;
use serde::Serialize;

use super::time;

/// The answer as a whole.
#[derive(Debug, Serialize)]
pub struct Status {
    schema: &'static str,
    #[serde(flatten)]
    pub counts: Counts,
    /// When they were asked for. They sum to the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Groups>,
    /// Those that agents told of.
    pub search_clusters: Vec<SearchCluster>,
}

impl Status {
    /// `by` is what was asked to count by.
    pub fn new(status: v1::GetFleetStatusResponse, by: Option<String>) -> Self {
        let group = |group: &v1::FleetGroup| {
            let counts = group.counts.as_ref().map(Counts::from)?;
            Some(Group { name: group.name.clone(), counts })
        };
        let groups =
            by.map(|by| Groups { by, groups: status.groups.iter().filter_map(group).collect() });
        Self {
            schema: "atrest.status/1",
            counts: Counts::from(&status),
            groups,
            search_clusters: status.search_clusters.into_iter().map(Into::into).collect(),
        }
    }
}

/// The states sum to the enrolled.
#[derive(Debug, Serialize)]
pub struct Counts {
    pub enrolled: u64,
    pub encrypted: u64,
    pub partial: u64,
    pub unencrypted: u64,
    pub claimed: u64,
    pub unknown: u64,
    pub stale: u64,
    /// Not among the enrolled.
    pub revoked: u64,
    pub connected: u64,
    pub failing_findings: u64,
    pub firing_alerts: u64,
}

impl From<&v1::GetFleetStatusResponse> for Counts {
    fn from(status: &v1::GetFleetStatusResponse) -> Self {
        Self {
            enrolled: status.enrolled,
            encrypted: status.encrypted,
            partial: status.partial,
            unencrypted: status.unencrypted,
            claimed: status.claimed,
            unknown: status.unknown,
            stale: status.stale,
            revoked: status.revoked,
            connected: status.connected,
            failing_findings: status.failing_findings,
            firing_alerts: status.firing_alerts,
        }
    }
}

/// By cluster, or by the value of a label.
#[derive(Debug, Serialize)]
pub struct Groups {
    pub by: String,
    pub groups: Vec<Group>,
}

/// The hosts of one.
#[derive(Debug, Serialize)]
pub struct Group {
    /// Empty for hosts without the label.
    pub name: String,
    #[serde(flatten)]
    pub counts: Counts,
}

/// A cluster of search nodes, by its own list of them.
#[derive(Debug, Serialize)]
pub struct SearchCluster {
    pub cluster: String,
    pub name: String,
    pub uuid: String,
    pub nodes: u64,
    pub without_agent: u64,
    /// `None` while no agent could fetch the list.
    pub listed_at: Option<Timestamp>,
}

impl From<v1::SearchCluster> for SearchCluster {
    fn from(cluster: v1::SearchCluster) -> Self {
        let v1::SearchCluster { cluster, name, uuid, nodes, without_agent, listed_at } = cluster;
        Self { cluster, name, uuid, nodes, without_agent, listed_at: time(listed_at) }
    }
}
