//! Whose search nodes are whose.

use std::collections::BTreeMap;

use atrest_proto::v1;
use tonic::Status;

use super::short;
use crate::fleet::cluster::{self, List, Listed, OwnNode, Said, Summary};

/// The longest id of a node or cluster. Theirs are 22 characters.
const MAX_ID: usize = 64;
/// The most roles of a node: there are a dozen.
const MAX_ROLES: usize = 32;

/// What a host says of the search nodes on it, and of their clusters.
pub(in crate::grpc) fn membership(membership: v1::Membership) -> Result<Said, Status> {
    let v1::Membership { nodes, clusters, partial } = membership;
    if nodes.len() > cluster::MAX_OWN || clusters.len() > cluster::MAX_OWN {
        return Err(Status::invalid_argument("a field of `membership` has too many items"));
    }
    let own = |node: v1::OwnNode| {
        Ok(OwnNode {
            cluster_uuid: id(node.cluster_uuid)?,
            cluster_name: short(&node.cluster_name),
            node_id: id(node.node_id)?,
            node_name: short(&node.node_name),
        })
    };
    let lists = clusters.into_iter().map(|found| {
        Ok((id(found.cluster_uuid)?, list(found.nodes, found.total, found.complete)?))
    });
    Ok(Said {
        nodes: nodes.into_iter().map(own).collect::<Result<_, Status>>()?,
        lists: lists.collect::<Result<_, Status>>()?,
        partial,
    })
}

fn list(nodes: Vec<v1::ClusterNode>, total: u32, complete: bool) -> Result<List, Status> {
    if nodes.len() > cluster::MAX_NODES {
        return Err(Status::invalid_argument("field `clusters.nodes` has too many items"));
    }
    let named = |node: v1::ClusterNode| {
        let roles = node.roles.iter().take(MAX_ROLES).map(|role| short(role)).collect();
        let listed = Listed { name: short(&node.name), address: short(&node.address), roles };
        Ok((id(node.node_id)?, listed))
    };
    let nodes: BTreeMap<_, _> = nodes.into_iter().map(named).collect::<Result<_, Status>>()?;
    let listed = u64::try_from(nodes.len()).unwrap_or(u64::MAX);
    let total = u64::from(total).max(listed);
    // One that was cut cannot be whole.
    Ok(List { complete: complete && total == listed, nodes, total })
}

/// An id, or nothing where it is not known.
fn id(text: String) -> Result<String, Status> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if text.len() > MAX_ID || !text.bytes().all(is_plain) {
        return Err(Status::invalid_argument("an id of a node or cluster is not one"));
    }
    Ok(text)
}

pub(in crate::grpc) fn search_cluster(summary: Summary) -> v1::SearchCluster {
    v1::SearchCluster {
        cluster: summary.key.cluster,
        name: summary.name,
        uuid: summary.key.uuid,
        nodes: summary.nodes,
        without_agent: summary.without_agent,
        listed_at: summary.listed_at.map(super::time),
    }
}
