//! From a token to an identity, and every way in which that fails.

use std::os::unix::fs::PermissionsExt as _;

use atrest_agent::transport::enroll::{EnrollError, Enrolled, Existing};
use atrest_agent::transport::failure::Failure;
use atrest_agent::transport::identity::Identity;
use atrest_proto::token::EnrollmentToken;

use crate::agent::Node;
use crate::authority::{Authority, EXPIRED, VALID};
use crate::server::{Happened, Server};

fn keys(server: &mut Server) -> Vec<Vec<u8>> {
    let key = |happened| if let Happened::Enrolled { key } = happened { Some(key) } else { None };
    server.unseen().into_iter().filter_map(key).collect()
}

fn is_enrolled(node: &Node) -> bool {
    Identity::load(&node.state).expect("readable").is_some()
}

#[tokio::test]
async fn a_token_makes_a_private_identity_and_a_second_one_is_not_spent() {
    let (mut server, node) = (Server::start(), Node::new());
    let Enrolled::Now { host_id, server: address, .. } =
        node.enroll(&server).await.expect("enrolled")
    else {
        panic!("it was not enrolled before");
    };
    assert_eq!((host_id.as_str(), address), ("host-1", server.address()));
    let mode = std::fs::metadata(node.state.identity()).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!node.state.pending_key().exists());

    let again = node.enroll(&server).await.expect("no error");
    assert!(matches!(again, Enrolled::Already { .. }));
    assert_eq!(keys(&mut server).len(), 1);

    let forced = node.enroll_with(&server.token().encode(), Existing::Replace).await;
    assert!(matches!(forced, Ok(Enrolled::Now { .. })));
    assert_eq!(keys(&mut server).len(), 1, "with a key that was not there before");
}

#[tokio::test]
async fn a_server_of_another_authority_gets_nothing() {
    let (mut server, node) = (Server::start(), Node::new());
    let token = EnrollmentToken { authority_pin: Authority::new().pin, ..server.token() };
    let error = node.enroll_with(&token.encode(), Existing::Keep).await.expect_err("refused");
    let EnrollError::PinMismatch { authorities, .. } = &error else { panic!("{error:?}") };
    assert_eq!(authorities, &[server.token().authority_pin]);
    assert!(server.unseen().is_empty() && !is_enrolled(&node));
    let nonsense = EnrollmentToken { authority_pin: "x".to_owned(), ..server.token() };
    let error = node.enroll_with(&nonsense.encode(), Existing::Keep).await.expect_err("refused");
    assert!(matches!(error, EnrollError::Pin));
    let error = node.enroll_with("hello", Existing::Keep).await.expect_err("refused");
    assert!(matches!(error, EnrollError::Token(_)));
}

#[tokio::test]
async fn a_wrong_secret_is_refused_in_the_servers_words_and_the_key_is_used_again() {
    let (mut server, node) = (Server::start(), Node::new());
    let token = EnrollmentToken { secret: "wrong".to_owned(), ..server.token() };
    let error = node.enroll_with(&token.encode(), Existing::Keep).await.expect_err("refused");
    assert_eq!(
        error.to_string(),
        "the server refused the token: this token is not known: make another"
    );
    assert!(!is_enrolled(&node));
    node.enroll(&server).await.expect("enrolled");
    let keys = keys(&mut server);
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test]
async fn an_answer_that_got_lost_is_asked_for_again_with_the_same_key() {
    let (mut server, node) = (Server::start(), Node::new());
    server.manners(|manners| manners.lose_answer = true);
    let error = node.enroll(&server).await.expect_err("lost");
    assert!(matches!(error, EnrollError::Connection(Failure::Protocol { .. })), "{error:?}");
    node.enroll(&server).await.expect("enrolled");
    let keys = keys(&mut server);
    assert!(keys.len() == 2 && keys[0] == keys[1]);
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let (mut server, node) = (Server::start(), Node::new());
    server.manners(|manners| manners.busy = 1);
    let enrolled = node.enroll(&server).await;
    assert!(matches!(enrolled, Ok(Enrolled::Now { .. })), "{enrolled:?}");
    assert_eq!(keys(&mut server).len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_its_address() {
    let (mut server, node) = (Server::start(), Node::new());
    server.kill();
    let error = node.enroll(&server).await.expect_err("not there");
    assert!(matches!(error, EnrollError::Connection(Failure::Unreachable { .. })), "{error:?}");
    assert!(error.to_string().contains(&server.address()));
    assert!(!error.remedy().is_empty());
}

#[tokio::test]
async fn the_right_authority_is_not_enough_for_another_name_or_an_old_certificate() {
    let node = Node::new();
    let other = Server::start_with("elsewhere.example", VALID);
    let error = node.enroll(&other).await.expect_err("another name");
    let EnrollError::Connection(Failure::ServerUntrusted { why, .. }) = &error else {
        panic!("{error:?}")
    };
    assert!(why.contains("elsewhere.example"), "{why}");
    let old = Server::start_with("localhost", EXPIRED);
    let error = node.enroll(&old).await.expect_err("expired");
    assert!(matches!(error, EnrollError::Connection(Failure::Clock { .. })), "{error:?}");
    assert!(error.remedy().contains("clock"));
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_made_is_named() {
    let (mut server, dir) = (Server::start(), tempfile::tempdir().expect("a directory"));
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").expect("written");
    let node = Node::in_dir(&file.join("state"));
    let error = node.enroll(&server).await.expect_err("no directory");
    assert!(matches!(error, EnrollError::StateDir { .. }), "{error:?}");
    assert!(error.to_string().contains("file/state"));
    assert!(server.unseen().is_empty(), "no use of the token was spent");
}

#[tokio::test]
async fn a_certificate_that_ran_out_is_replaced_without_force() {
    let (server, node) = (Server::start(), Node::new());
    server.manners(|manners| manners.agent_certificate = EXPIRED);
    let enrolled = node.enroll(&server).await.expect("enrolled");
    assert!(enrolled.describe(crate::authority::now()).contains("set the clock right"));
    server.manners(|manners| manners.agent_certificate = VALID);
    assert!(matches!(node.enroll(&server).await, Ok(Enrolled::Now { .. })));
    assert!(matches!(node.enroll(&server).await, Ok(Enrolled::Already { .. })));
}
