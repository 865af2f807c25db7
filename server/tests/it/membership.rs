//! Nodes of search clusters without an agent, and keystores that differ: from what agents say to findings and alerts.

use std::time::Duration;

use atrest_proto::model::{Keystore, Password, Posture, Service, Verdict};
use atrest_proto::v1;
use atrest_proto::v1::attach_request::Message as Say;
use tonic::Code;

use crate::harness::{Agent, Operator, Server, Stream, config, directory, report, until};

fn own(id: &str) -> v1::OwnNode {
    v1::OwnNode {
        cluster_uuid: "U".to_owned(),
        cluster_name: "logs".to_owned(),
        node_id: id.to_owned(),
        node_name: format!("node-{id}"),
    }
}

fn list(ids: &[&str]) -> v1::ClusterNodes {
    let node = |id: &&str| v1::ClusterNode {
        node_id: (*id).to_owned(),
        name: format!("node-{id}"),
        address: "10.0.0.9:9300".to_owned(),
        roles: vec!["data".to_owned()],
    };
    v1::ClusterNodes {
        cluster_uuid: "U".to_owned(),
        nodes: ids.iter().map(node).collect(),
        total: u32::try_from(ids.len()).unwrap(),
        complete: true,
    }
}

fn membership(own_id: &str, listed: &[&str]) -> Say {
    Say::Membership(v1::Membership {
        nodes: vec![own(own_id)],
        clusters: if listed.is_empty() { Vec::new() } else { vec![list(listed)] },
        partial: false,
    })
}

async fn cluster(operator: &mut Operator) -> Option<(u64, u64)> {
    let clusters = operator.status().await.search_clusters;
    let cluster = clusters.into_iter().find(|cluster| cluster.uuid == "U")?;
    assert_eq!((&*cluster.name, &*cluster.cluster), ("logs", "prod"));
    cluster.listed_at.map(|_| (cluster.nodes, cluster.without_agent))
}

async fn alerts(operator: &mut Operator, check: &str, state: v1::AlertState) -> Vec<v1::Alert> {
    let alerts = operator.alerts(state).await;
    alerts.into_iter().filter(|one| one.finding.as_ref().unwrap().check == check).collect()
}

/// Looks at the fleet some time later.
async fn later(server: &Server, by: Duration) {
    server.clock.advance(by);
    server.running.hub.sweep().await;
}

async fn heard(stream: &mut Stream, agent: &Agent, sequence: u64) {
    let posture = agent.posture(&[("/srv", Verdict::Encrypted)]);
    stream.report(report(sequence, posture)).await.unwrap();
}

const FIRING: v1::AlertState = v1::AlertState::Firing;
const RESOLVED: v1::AlertState = v1::AlertState::Resolved;

#[tokio::test]
async fn a_node_that_no_agent_looks_after_is_an_alert_until_one_does() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let (one, two) = (server.agent("es-1").await, server.agent("es-2").await);
    later(&server, Duration::from_mins(6)).await;
    let mut stream = server.attach(&one).await;
    stream.say(membership("A", &["A", "B"])).await;
    let mut operator = server.operator().await;
    // It is answered after what was said before it was taken.
    heard(&mut stream, &one, 1).await;
    assert_eq!(cluster(&mut operator).await, Some((2, 1)));
    let (status, text) = crate::metrics::scrape(&server, &server.admin, false).await;
    assert_eq!(status, reqwest::StatusCode::OK);
    let of = "{cluster=\"prod\",search_cluster=\"logs\",uuid=\"U\"}";
    for line in
        [format!("atrest_search_nodes{of} 2"), format!("atrest_search_nodes_without_agent{of} 1")]
    {
        assert!(text.lines().any(|told| told == line), "{line}\n{text}");
    }
    later(&server, Duration::from_mins(14)).await;
    heard(&mut stream, &one, 1).await;
    assert!(alerts(&mut operator, "node_missing", FIRING).await.is_empty());
    later(&server, Duration::from_mins(2)).await;
    let fired = alerts(&mut operator, "node_missing", FIRING).await;
    let [alert] = fired.as_slice() else { panic!("{fired:?}") };
    assert_eq!((&*alert.hostname, &*alert.cluster), ("logs", "prod"), "for routes, and for people");
    let finding = alert.finding.as_ref().unwrap();
    assert_eq!(finding.severity(), v1::Severity::High);
    assert_eq!(finding.evidence["node_name"], "node-B");
    assert!(operator.findings().await.iter().any(|row| row.hostname == "logs"));
    assert!(operator.nodes().await.iter().all(|node| node.hostname != "logs"), "no host");

    // Over a restart it stays, is told once, and nobody's silence changes it.
    let clock = server.clock.clone();
    drop((operator, stream));
    server.stop().await;
    let server = Server::start_at(config(&state), clock).await;
    let mut operator = server.operator().await;
    later(&server, Duration::from_hours(1)).await;
    assert_eq!(alerts(&mut operator, "node_missing", FIRING).await.len(), 1);
    let second = server.attach(&two).await;
    second.say(membership("B", &[])).await;
    until(async || {
        let over = alerts(&mut operator, "node_missing", RESOLVED).await;
        over.first().map(|alert| assert_eq!(alert.end(), v1::AlertEnd::Passed))
    })
    .await;

    // Its host falls silent: that is one finding, and not two.
    drop(second);
    let mut stream = server.attach(&one).await;
    stream.say(membership("A", &["A", "B"])).await;
    heard(&mut stream, &one, 2).await;
    for _ in 0..5 {
        later(&server, Duration::from_mins(10)).await;
        heard(&mut stream, &one, 2).await;
    }
    assert!(alerts(&mut operator, "node_missing", FIRING).await.is_empty());
    assert_eq!(alerts(&mut operator, "node_silent", FIRING).await.len(), 1);
    // It is revoked: then nobody looks after its node.
    let request = v1::RevokeNodeRequest { node: "es-2".to_owned(), ..Default::default() };
    operator.nodes.revoke_node(request).await.unwrap();
    later(&server, Duration::from_mins(1)).await;
    heard(&mut stream, &one, 2).await;
    later(&server, Duration::from_mins(20)).await;
    assert_eq!(alerts(&mut operator, "node_missing", FIRING).await.len(), 1);
    // It leaves its cluster.
    stream.say(membership("A", &["A"])).await;
    heard(&mut stream, &one, 2).await;
    assert_eq!(cluster(&mut operator).await, Some((1, 0)));
    later(&server, Duration::from_mins(1)).await;
    later(&server, Duration::from_mins(20)).await;
    let over = alerts(&mut operator, "node_missing", RESOLVED).await;
    assert_eq!(over[0].end(), v1::AlertEnd::AssetRetired);
    server.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_ends_the_stream() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let many: Vec<String> = (0..1_001).map(|number| format!("n{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let crowd = v1::Membership {
        nodes: (0..65).map(|number| own(&format!("n{number}"))).collect(),
        ..v1::Membership::default()
    };
    let strange = v1::Membership { nodes: vec![own("a\nb")], ..v1::Membership::default() };
    for say in [membership("A", &many), Say::Membership(crowd), Say::Membership(strange)] {
        let mut stream = server.attach(&agent).await;
        stream.say(say).await;
        assert_eq!(stream.end().await.code(), Code::InvalidArgument);
    }
    server.stop().await;
}

fn with_keystore(agent: &Agent, fingerprint: &str, mode: &str) -> Posture {
    let service = Service {
        product: "elasticsearch".to_owned(),
        name: "elasticsearch".to_owned(),
        state: "running".to_owned(),
        cluster_name: Some("logs".to_owned()),
        cluster_uuid: Some("U".to_owned()),
        ..Service::default()
    };
    let keystore = Keystore {
        asset: "keystore:/etc/elasticsearch/elasticsearch.keystore".to_owned(),
        path: "/etc/elasticsearch/elasticsearch.keystore".to_owned(),
        product: "elasticsearch".to_owned(),
        service: Some("elasticsearch".to_owned()),
        format: "elasticsearch".to_owned(),
        format_version: Some(7),
        password: Password::Unprotected,
        kdf: "pbkdf2-hmac-sha512 x 210000".to_owned(),
        cipher: "aes-256-gcm".to_owned(),
        opens_without_password: Some(true),
        mode: mode.to_owned(),
        owner: "root".to_owned(),
        group: "elasticsearch".to_owned(),
        at_rest: Verdict::Encrypted,
        fingerprint: Some(fingerprint.to_owned()),
        problem: None,
    };
    Posture {
        services: vec![service],
        keystores: vec![keystore],
        ..agent.posture(&[("/srv", Verdict::Encrypted)])
    }
}

#[tokio::test]
async fn keystores_that_differ_for_long_are_an_alert_until_they_are_alike() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    later(&server, Duration::from_mins(6)).await;
    let mut agents = Vec::new();
    for name in ["es-1", "es-2", "es-3"] {
        let agent = server.agent(name).await;
        let mut stream = server.attach(&agent).await;
        let (print, mode) = if name == "es-2" { ("odd", "0644") } else { ("even", "0660") };
        stream.report(report(1, with_keystore(&agent, print, mode))).await.unwrap();
        agents.push((agent, stream));
    }
    let mut operator = server.operator().await;
    later(&server, Duration::from_mins(50)).await;
    assert!(alerts(&mut operator, "keystore_differs", FIRING).await.is_empty());
    later(&server, Duration::from_mins(11)).await;
    let fired = alerts(&mut operator, "keystore_differs", FIRING).await;
    let [alert] = fired.as_slice() else { panic!("{fired:?}") };
    let finding = alert.finding.as_ref().unwrap();
    assert_eq!(finding.severity(), v1::Severity::Medium);
    assert_eq!(
        finding.summary,
        "1 of 3 keystores in the cluster logs differ from the others, by mode: on es-2"
    );
    let (agent, stream) = &mut agents[1];
    stream.report(report(2, with_keystore(agent, "even", "0660"))).await.unwrap();
    assert!(alerts(&mut operator, "keystore_differs", FIRING).await.is_empty());
    assert_eq!(alerts(&mut operator, "keystore_differs", RESOLVED).await.len(), 1);
    server.stop().await;
}
