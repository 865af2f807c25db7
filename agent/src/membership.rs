//! Which search clusters this machine's nodes are in, and which nodes those clusters say they have: the server finds by it
//! the nodes that have no agent. Known to the scan and to the stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use atrest_proto::digest::cluster_nodes as key;
use atrest_proto::model::Service;
use atrest_proto::v1;
use jiff::Timestamp;

use crate::duties::Duties;
use crate::node_api::{Answer, Contact, Outcome, Talk};

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

/// How a node that was asked calls itself and its cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Name {
    pub cluster_uuid: Option<String>,
    pub node_id: Option<String>,
}

/// The nodes that were asked and answered, by service.
pub type Told = BTreeMap<String, Name>;

/// What the nodes told of this.
pub fn told(talk: &Talk) -> Told {
    let Talk::Asked { answers, .. } = talk else { return Told::new() };
    let name = |answer: &Answer| match &answer.outcome {
        Outcome::Told(told) => {
            let name =
                Name { cluster_uuid: told.cluster_uuid.clone(), node_id: told.node_id.clone() };
            Some((answer.service.clone(), name))
        }
        Outcome::NotAsked(_) | Outcome::Failed { .. } => None,
    };
    answers.iter().filter_map(name).collect()
}

/// The clusters whose lists no other agent asks for. What this one could ask for is shared.
pub fn ours(told: &Told, duties: &Duties, now: Timestamp) -> BTreeSet<String> {
    let clusters: BTreeSet<&String> =
        told.values().filter_map(|name| name.cluster_uuid.as_ref()).collect();
    duties.share(DUTY, clusters.iter().map(|uuid| key(uuid)).collect());
    let is_ours =
        |uuid: &str| duties.elsewhere(&key(uuid), &format!("cluster:{uuid}"), now).is_none();
    clusters.into_iter().filter(|uuid| is_ours(uuid)).cloned().collect()
}

/// This machine's nodes, among what was discovered and asked.
pub fn own(contacts: &[Contact], told: &Told, services: &[Service]) -> Said {
    let mut said = Said::default();
    for Contact { endpoint, .. } in contacts {
        let Some(service) = services.iter().find(|one| one.name == endpoint.service) else {
            continue;
        };
        let name = told.get(&service.name).cloned().unwrap_or_default();
        said.is_partial |= name.cluster_uuid.is_none() || name.node_id.is_none();
        said.nodes.insert(OwnNode {
            cluster_uuid: name.cluster_uuid.unwrap_or_default(),
            // `ClusterName.DEFAULT` is the name of the product, in both.
            cluster_name: service.cluster_name.clone().unwrap_or_else(|| service.product.clone()),
            node_id: name.node_id.unwrap_or_default(),
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
    use super::*;
    use crate::host::recorded::RecordedHost;
    use crate::node_api::Endpoint;
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

    fn service(name: &str) -> Service {
        Service {
            product: "elasticsearch".to_owned(),
            name: name.to_owned(),
            node_name: Some(format!("node of {name}")),
            ..Service::default()
        }
    }

    #[test]
    fn a_node_that_could_not_be_asked_is_known_by_name_and_leaves_the_rest_open() {
        let host = RecordedHost::new(std::path::Path::new("/nowhere"));
        let contact = |service| Contact::new(&host, endpoint(service));
        let mut services = vec![service("es"), service("kibana")];
        let mut contacts = vec![contact("es")];
        let name = Name { cluster_uuid: Some("U".to_owned()), node_id: Some("N1".to_owned()) };
        let told = Told::from([("es".to_owned(), name)]);
        let said = own(&contacts, &told, &services);
        assert!(!said.is_partial);
        assert_eq!(said.nodes.first().map(|node| node.node_id.as_str()), Some("N1"));
        assert_eq!(said.nodes.len(), 1, "Kibana is no node");
        services.push(service("es-2"));
        contacts.push(contact("es-2"));
        let said = own(&contacts, &told, &services);
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
