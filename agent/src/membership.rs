//! Which search clusters this machine's nodes are in, and which nodes those clusters say they have: the server finds by it
//! the nodes that have no agent. Known to the scan and to the stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use atrest_proto::digest::cluster_nodes as key;
use atrest_proto::v1;
use jiff::Timestamp;

use crate::discovery::Discovery;
use crate::duties::Duties;
use crate::host::Host;
use crate::node_api::{self, Seen, Settings};

/// As many nodes of a cluster as the server takes.
pub const MOST_NODES: usize = 1_000;
/// As many nodes of one machine as the server takes.
const MOST_OWN: usize = 64;
/// A node has a dozen roles.
pub const MOST_ROLES: usize = 32;
/// The longest id of a node or cluster, in bytes.
pub const MAX_ID: usize = 64;
/// Under this name lists are shared out among agents.
const DUTY: &str = "cluster nodes";

/// A node of this machine. Without an id it could not be asked, and is known by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnNode {
    pub cluster_uuid: String,
    pub cluster_name: String,
    pub node_id: String,
    pub node_name: String,
}

/// A node as its cluster lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// Of its transport.
    pub address: String,
    /// Sorted.
    pub roles: Vec<String>,
}

/// What a cluster says that it consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterList {
    /// By their ids.
    pub nodes: BTreeMap<String, Listed>,
    /// How many there are, those included that are not listed here.
    pub total: usize,
    /// Nobody is missing from it.
    pub is_whole: bool,
}

/// What is said of both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    pub nodes: BTreeSet<OwnNode>,
    /// By the UUID of the cluster.
    pub lists: BTreeMap<String, ClusterList>,
    /// A node could not be asked: that it is not among them says nothing.
    pub is_partial: bool,
}

/// What the latest scan found; `None` before the first.
#[derive(Debug, Clone, Default)]
pub struct Membership(Arc<Mutex<Option<Said>>>);

impl Membership {
    /// What the latest scan found.
    pub fn found(&self, said: Said) {
        *self.state() = Some(said);
    }

    pub fn said(&self) -> Option<Said> {
        self.state().clone()
    }

    /// A panic while it was held is a bug that is told elsewhere; what it guards is still whole.
    fn state(&self) -> MutexGuard<'_, Option<Said>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds this machine's nodes, and asks for the lists of their clusters that no other agent asks for.
pub fn consult(
    host: &dyn Host,
    found: &mut Discovery,
    settings: &Settings,
    duties: &Duties,
    now: Timestamp,
) -> Said {
    let mut said = own(found);
    let clusters: BTreeSet<String> = said
        .nodes
        .iter()
        .map(|node| node.cluster_uuid.clone())
        .filter(|uuid| !uuid.is_empty())
        .collect();
    duties.share(DUTY, clusters.iter().map(|uuid| key(uuid)).collect());
    let is_ours =
        |uuid: &str| duties.elsewhere(&key(uuid), &format!("cluster:{uuid}"), now).is_none();
    let asked: BTreeSet<String> = clusters.into_iter().filter(|uuid| is_ours(uuid)).collect();
    if !asked.is_empty() {
        said.lists = node_api::list_clusters(host, found, settings, &asked);
    }
    said
}

/// The nodes among what was discovered and asked.
fn own(found: &Discovery) -> Said {
    let mut said = Said::default();
    for endpoint in &found.endpoints {
        let Some(service) = found.services.iter().find(|one| one.name == endpoint.service) else {
            continue;
        };
        let node_id = found.node_ids.get(&service.name).cloned().unwrap_or_default();
        let was_told = found
            .sights
            .iter()
            .any(|sight| sight.service == service.name && matches!(sight.seen, Seen::Told { .. }));
        let cluster_uuid = service.cluster_uuid.clone().unwrap_or_default();
        said.is_partial |= !was_told || cluster_uuid.is_empty() || node_id.is_empty();
        said.nodes.insert(OwnNode {
            cluster_uuid,
            // `ClusterName.DEFAULT` is the name of the product, in both.
            cluster_name: service.cluster_name.clone().unwrap_or_else(|| service.product.clone()),
            node_id,
            node_name: service.node_name.clone().unwrap_or_default(),
        });
    }
    said
}

/// As the wire has it; what is more than the server takes is left out, and the list says so.
pub fn to_wire(said: &Said) -> v1::Membership {
    let nodes = said.nodes.iter().take(MOST_OWN).map(|node| v1::OwnNode {
        cluster_uuid: node.cluster_uuid.clone(),
        cluster_name: node.cluster_name.clone(),
        node_id: node.node_id.clone(),
        node_name: node.node_name.clone(),
    });
    let clusters = said.lists.iter().take(MOST_OWN).map(|(uuid, list)| v1::ClusterNodes {
        cluster_uuid: uuid.clone(),
        nodes: list
            .nodes
            .iter()
            .take(MOST_NODES)
            .map(|(id, node)| v1::ClusterNode {
                node_id: id.clone(),
                name: node.name.clone(),
                address: node.address.clone(),
                roles: node.roles.clone(),
            })
            .collect(),
        total: u32::try_from(list.total).unwrap_or(u32::MAX),
        complete: list.is_whole,
    });
    v1::Membership {
        nodes: nodes.collect(),
        clusters: clusters.collect(),
        partial: said.is_partial || said.nodes.len() > MOST_OWN,
    }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Service;

    use super::*;
    use crate::node_api::{Endpoint, Sight};
    use crate::snapshot::{Namespace, Trouble};

    fn endpoint(service: &str) -> Endpoint {
        Endpoint {
            service: service.to_owned(),
            product: "elasticsearch".to_owned(),
            pid: 7,
            own_pid: 7,
            user: None,
            namespace: Namespace::Host,
            cwd: "/".into(),
            listeners: Err(Trouble::new(atrest_proto::model::Reason::NotFound, "none")),
            tls: false,
            authorities: Vec::new(),
        }
    }

    fn service(name: &str, uuid: Option<&str>) -> Service {
        Service {
            product: "elasticsearch".to_owned(),
            name: name.to_owned(),
            cluster_uuid: uuid.map(str::to_owned),
            node_name: Some(format!("node of {name}")),
            ..Service::default()
        }
    }

    #[test]
    fn a_node_that_could_not_be_asked_is_known_by_name_and_leaves_the_rest_open() {
        let mut found = Discovery {
            services: vec![service("es", Some("U")), service("kibana", None)],
            endpoints: vec![endpoint("es")],
            ..Discovery::default()
        };
        found.node_ids.insert("es".to_owned(), "N1".to_owned());
        let told = Seen::Told { memory_locked: None };
        found.sights.push(Sight { service: "es".to_owned(), seen: told });
        let said = own(&found);
        assert!(!said.is_partial);
        assert_eq!(said.nodes.first().map(|node| node.node_id.as_str()), Some("N1"));
        assert_eq!(said.nodes.len(), 1, "Kibana is no node");
        found.services.push(service("es-2", None));
        found.endpoints.push(endpoint("es-2"));
        let said = own(&found);
        assert!(said.is_partial);
        let unasked = said.nodes.iter().find(|node| node.node_id.is_empty()).unwrap();
        assert_eq!(unasked.node_name, "node of es-2");
        assert_eq!(unasked.cluster_name, "elasticsearch");
    }

    #[test]
    fn the_wire_is_given_no_more_than_the_server_takes() {
        let node =
            |number: usize| OwnNode { node_id: format!("{number:03}"), ..OwnNode::default() };
        let said = Said { nodes: (0..100).map(node).collect(), ..Said::default() };
        let wire = to_wire(&said);
        assert_eq!((wire.nodes.len(), wire.partial), (MOST_OWN, true));
        assert_ne!(key("a"), key("b"));
    }
}
