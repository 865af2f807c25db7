//! What the agent says and does when the server does not want it, or cannot.

use atrest_agent::status::{self, LinkState, Trouble};
use atrest_agent::transport::enroll::Existing;
use tonic::Status;

use crate::agent::Node;
use crate::authority::{EXPIRED, VALID, now};
use crate::server::Server;

/// Runs an agent until it failed to connect a few times, and gives what it says.
async fn fail(node: &Node) -> Trouble {
    let mut agent = node.start();
    // The scan, and three tries.
    agent.rolled(4).await;
    node.spooled(1).await;
    agent.stop().await.expect("a good end");
    node.status().link.error.expect("an error")
}

#[tokio::test]
async fn a_host_that_is_not_enrolled_says_so_keeps_its_reports_and_picks_up_an_enrolment() {
    let (mut server, node) = (Server::start(), Node::new());
    let mut agent = node.start();
    agent.rolled(1).await;
    agent.stop().await.expect("a good end");
    let facts = status::gather(&node.state).expect("a status");
    assert!(status::text(&facts, now()).contains("run `atrest-agent enroll TOKEN`"));

    let mut agent = node.start();
    agent.rolled(1).await;
    node.enroll(&server).await.expect("enrolled");
    assert_eq!(server.report_of("a").await.sequence, 1);
    agent.stop().await.expect("a good end");
}

#[tokio::test]
async fn an_expired_certificate_says_exactly_what_to_do_and_heals_without_a_restart() {
    let (mut server, node) = (Server::start(), Node::new());
    server.manners(|manners| manners.agent_certificate = EXPIRED);
    node.enroll(&server).await.expect("enrolled");
    let error = fail(&node).await;
    assert_eq!(error.kind, "certificate_expired");
    assert!(error.remedy.contains("atrestctl token create --replace"), "{}", error.remedy);
    assert!(error.remedy.contains("atrest-agent enroll TOKEN"));

    let mut agent = node.start();
    agent.rolled(2).await;
    server.manners(|manners| manners.agent_certificate = VALID);
    node.enroll(&server).await.expect("enrolled");
    server.report_of("a").await;
    server.heartbeat().await;
    agent.stop().await.expect("a good end");
    assert_eq!(node.status().link.error, None);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words_and_the_report_stays() {
    let (mut server, node) = (Server::start(), Node::new());
    node.enroll(&server).await.expect("enrolled");
    server
        .manners(|manners| manners.refuse = Some(Status::permission_denied("host-1 was revoked")));
    let error = fail(&node).await;
    assert_eq!(error.kind, "refused");
    assert!(error.message.contains("host-1 was revoked"), "{}", error.message);
    assert_eq!(node.queued(), [1]);

    server.manners(|manners| manners.refuse = None);
    let agent = node.start();
    server.report_of("a").await;
    agent.stop().await.expect("a good end");
}

#[tokio::test]
async fn a_revoked_agent_says_so_and_picks_up_a_new_enrolment_without_a_restart() {
    use atrest_proto::refusal;
    let (mut server, node) = (Server::start(), Node::new());
    node.enroll(&server).await.expect("enrolled");
    let mut revoked = Status::permission_denied("an operator revoked host-1");
    let word = refusal::HOST_REVOKED.parse().expect("a word");
    revoked.metadata_mut().insert(refusal::HEADER, word);
    server.manners(|manners| manners.refuse = Some(revoked));

    let mut agent = node.start();
    // The scan, and one try: the next one is far away.
    agent.rolled(2).await;
    node.spooled(1).await;
    agent.stop().await.expect("a good end");
    let error = node.status().link.error.expect("an error");
    assert_eq!(error.kind, "certificate_revoked");
    let facts = status::gather(&node.state).expect("a status");
    let text = status::text(&facts, now());
    for part in ["an operator revoked host-1", "atrestctl token create --replace", "enroll --force"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(node.queued(), [1], "what it found is kept");

    let mut agent = node.start();
    agent.rolled(2).await;
    server.manners(|manners| manners.refuse = None);
    let token = server.token().encode();
    node.enroll_with(&token, Existing::Replace).await.expect("enrolled");
    server.report_of("a").await;
    agent.stop().await.expect("a good end");
    assert_eq!(node.status().link.error, None);
}

#[tokio::test]
async fn an_overloaded_server_is_not_taken_for_an_absent_one() {
    let (server, node) = (Server::start(), Node::new());
    node.enroll(&server).await.expect("enrolled");
    server.manners(|manners| manners.refuse = Some(Status::unavailable("the database is slow")));
    let error = fail(&node).await;
    assert_eq!(error.kind, "overloaded");
    server.manners(|manners| manners.refuse = Some(Status::aborted("another stream was opened")));
    let error = fail(&node).await;
    assert_eq!(error.kind, "superseded");
    assert!(error.remedy.contains("machine-id"), "{}", error.remedy);
}

#[tokio::test]
async fn a_server_of_another_authority_gets_no_report() {
    let (server, mut other, node) = (Server::start(), Server::start(), Node::new());
    node.enroll(&server).await.expect("enrolled");
    // As if the name led somewhere else now.
    let text = read(&node);
    let moved = text.replace(&server.address(), &other.address());
    std::fs::write(node.state.identity(), moved).expect("written");
    let error = fail(&node).await;
    assert_eq!(error.kind, "server_untrusted");
    assert!(other.unseen().is_empty());
}

#[tokio::test]
async fn a_damaged_identity_is_told_and_a_new_one_heals_it() {
    let (mut server, node) = (Server::start(), Node::new());
    node.enroll(&server).await.expect("enrolled");
    std::fs::write(node.state.identity(), "{").expect("written");
    let mut agent = node.start();
    agent.rolled(1).await;
    node.enroll(&server).await.expect_err("it is damaged");
    node.enroll_with(&server.token().encode(), Existing::Replace).await.expect("enrolled");
    server.report_of("a").await;
    server.heartbeat().await;
    agent.stop().await.expect("a good end");
}

#[tokio::test]
async fn a_host_that_is_moved_to_another_server_reports_there_at_once() {
    let (mut first, mut second, node) = (Server::start(), Server::start(), Node::new());
    node.enroll(&first).await.expect("enrolled");
    let agent = node.start();
    first.heartbeat().await;
    node.enroll_with(&second.token().encode(), Existing::Replace).await.expect("enrolled");
    second.report_of("a").await;
    second.heartbeat().await;
    agent.stop().await.expect("a good end");
}

#[tokio::test]
async fn a_report_that_the_server_cannot_take_does_not_block_the_others() {
    let (mut server, node) = (Server::start(), Node::new());
    node.enroll(&server).await.expect("enrolled");
    server.manners(|manners| manners.indigestible = Some("b".to_owned()));
    server.kill();
    for (sequence, name) in (1..).zip(["a", "b", "c"]) {
        node.turn(name);
        let agent = node.start();
        node.spooled(sequence).await;
        agent.stop().await.expect("a good end");
    }
    server.revive();
    let agent = node.start();
    server.heartbeat().await;
    agent.stop().await.expect("a good end");
    assert_eq!(node.status().spool.lost.refused, 1);
    let names = server.durable(|durable| durable.names.clone());
    assert!(!names.contains(&"b".to_owned()));
    assert_eq!(names.last().map(String::as_str), Some("c"), "{names:?}");
}

#[tokio::test]
async fn status_tells_a_running_daemon_from_one_that_was_killed() {
    let (mut server, node) = (Server::start(), Node::new());
    node.enroll(&server).await.expect("enrolled");
    let agent = node.start();
    server.heartbeat().await;
    server.heartbeat().await;
    assert!(status::gather(&node.state).expect("a status").running);
    agent.kill().await;
    let facts = status::gather(&node.state).expect("a status");
    assert!(!facts.running);
    assert_eq!(facts.saved.as_ref().map(|saved| saved.link.state), Some(LinkState::Connected));
    assert!(status::text(&facts, now()).contains("NOT RUNNING"));
}

fn read(node: &Node) -> String {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(node.state.identity())
        .and_then(|mut file| file.read_to_string(&mut text))
        .expect("readable");
    text
}
