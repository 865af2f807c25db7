//! Search clusters, and whose nodes are whose.

use std::collections::BTreeSet;

use super::{
    HostFilter, PageRequest, Store, application, at, end_of_enrolment, enrol, entry, secret, token,
};
use crate::enrollment::Token;
use crate::fleet::HostId;
use crate::fleet::cluster::{ClusterKey, Member, OwnNode};

pub(super) async fn run(store: &dyn Store) {
    a_cluster_is_itself_whatever_it_is_called(store).await;
    whose_nodes_are_whose_goes_with_the_enrolment(store).await;
}

fn key(cluster: &str, uuid: &str) -> ClusterKey {
    ClusterKey { cluster: cluster.to_owned(), uuid: uuid.to_owned() }
}

async fn a_cluster_is_itself_whatever_it_is_called(store: &dyn Store) {
    let before = store.host_list(HostFilter::default(), PageRequest::default()).await.unwrap();
    let server = store.host_own("server".to_owned(), at(1)).await.unwrap();
    let own = async |key: &ClusterKey, name: &str| {
        store.cluster_own(key.clone(), name.to_owned(), at(1)).await.unwrap()
    };
    let logs = own(&key("prod", "U"), "logs").await;
    assert_eq!(own(&key("prod", "U"), "renamed").await, logs);
    let others = [own(&key("test", "U"), "logs").await, own(&key("prod", "V"), "logs").await];
    assert!(!others.contains(&logs) && others[0] != others[1]);
    assert_eq!(store.host_own("server".to_owned(), at(2)).await.unwrap(), server, "not a cluster");
    let listed = store.cluster_list().await.unwrap();
    assert!(listed.contains(&(key("prod", "U"), logs)));
    assert_eq!(listed.len(), 3);
    let after = store.host_list(HostFilter::default(), PageRequest::default()).await.unwrap();
    assert_eq!(after.items.len(), before.items.len(), "no hosts");
}

async fn member(store: &dyn Store, host: &HostId) -> Option<Member> {
    let members = store.member_list().await.unwrap();
    members.into_iter().find(|(known, _)| known == host).map(|(_, member)| member)
}

async fn whose_nodes_are_whose_goes_with_the_enrolment(store: &dyn Store) {
    let host = enrol(store, "member").await;
    assert_eq!(member(store, &host).await, None);
    for id in ["A", "B"] {
        let node = OwnNode { node_id: id.to_owned(), ..OwnNode::default() };
        let said = Member { nodes: BTreeSet::from([node]), ..Member::default() };
        store.member_keep(host.clone(), said.clone()).await.unwrap();
        assert_eq!(member(store, &host).await, Some(said));
    }
    let (revocation, step) = end_of_enrolment(200);
    store.host_revoke(host.clone(), revocation, step, entry("host")).await.unwrap();
    assert_eq!(member(store, &host).await, None);
    store.member_keep(host.clone(), Member::default()).await.unwrap();
    assert_eq!(member(store, &host).await, None, "too late");
    let replacing = Token { replaces: Some(host.clone()), ..token("another-member", 1) };
    store.token_create(replacing, secret("another-member"), entry("token")).await.unwrap();
    store.host_enroll(application("another-member", "member")).await.unwrap().unwrap();
    assert_eq!(member(store, &host).await, None, "another machine has other nodes");
}
