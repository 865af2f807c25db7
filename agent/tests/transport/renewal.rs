//! Certificates are renewed at half life over the stream, for the key that they are for.

use atrest_agent::transport::identity::Identity;
use jiff::Timestamp;

use crate::agent::Node;
use crate::authority::{AGED, VALID, now};
use crate::server::{Happened, Server};

fn not_after(node: &Node) -> Timestamp {
    Identity::load(&node.state).expect("readable").expect("enrolled").validity().not_after
}

#[tokio::test]
async fn a_certificate_past_half_life_is_renewed_on_the_stream_that_stays_open() {
    let (mut server, node) = (Server::start(), Node::new());
    server.manners(|manners| manners.agent_certificate = AGED);
    node.enroll(&server).await.expect("enrolled");
    let before = Identity::load(&node.state).expect("readable").expect("enrolled");
    server.manners(|manners| manners.agent_certificate = VALID);
    let agent = node.start();
    server.renewal().await;
    // What is heard after it was said after it.
    server.heartbeat().await;
    server.heartbeat().await;
    let after = Identity::load(&node.state).expect("readable").expect("enrolled");
    assert!(after.validity().not_after > before.validity().not_after);
    assert!(after.is_same_host(&before), "the same key");
    assert!(!server.unseen().iter().any(|happened| matches!(happened, Happened::Hello)));

    // The new one opens the next stream.
    server.kill();
    server.revive();
    server.heartbeat().await;
    agent.stop().await.expect("a good end");
    let facts = atrest_agent::status::gather(&node.state).expect("a status");
    assert!(atrest_agent::status::text(&facts, now()).contains("certificate   valid for 23 h"));
}

#[tokio::test]
async fn a_renewal_that_brings_nothing_new_is_asked_for_again() {
    let (mut server, node) = (Server::start(), Node::new());
    server.manners(|manners| manners.agent_certificate = AGED);
    node.enroll(&server).await.expect("enrolled");
    let agent = node.start();
    server.renewal().await;
    server.renewal().await;
    agent.stop().await.expect("a good end");
    assert!(not_after(&node) > now());
}

#[tokio::test]
async fn a_renewal_does_not_undo_an_enrolment_that_came_in_between() {
    let (mut server, mut second, node) = (Server::start(), Server::start(), Node::new());
    server.manners(|manners| manners.agent_certificate = AGED);
    node.enroll(&server).await.expect("enrolled");
    let agent = node.start();
    server.renewal().await;
    let token = second.token().encode();
    let existing = atrest_agent::transport::enroll::Existing::Replace;
    // The daemon renews all the time meanwhile, and may hold the lock at this moment.
    while let Err(error) = node.enroll_with(&token, existing).await {
        assert!(error.to_string().contains("another enrolment is running"), "{error}");
    }
    second.heartbeat().await;
    agent.stop().await.expect("a good end");
    let identity = Identity::load(&node.state).expect("readable").expect("enrolled");
    assert_eq!(identity.server, second.address());
}
