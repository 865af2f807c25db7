//! Two machines with one identity: the first keeps its place, both are named, and a restart is no clash.

use std::time::Duration;

use atrest_proto::model::Verdict;
use atrest_proto::refusal;
use atrest_proto::v1;
use atrest_proto::v1::attach_request::Message as Say;
use tonic::Code;

use crate::harness::{Agent, Operator, Server, Stream, config, directory, report, until};

/// The same identity on another machine.
fn copy(agent: &Agent, hostname: &str, boot_id: &str) -> Agent {
    let mut copy = Agent::new(hostname);
    let key = agent.key.serialize_pem();
    copy.key = rcgen::KeyPair::from_pem(&key).unwrap();
    copy.host_id.clone_from(&agent.host_id);
    copy.certificate.clone_from(&agent.certificate);
    boot_id.clone_into(&mut copy.host.boot_id);
    copy
}

async fn beat(server: &Server, stream: &mut Stream, digest: &[u8]) {
    server.clock.advance(Duration::from_secs(30));
    stream.say(Say::Heartbeat(v1::Heartbeat { digest: digest.to_vec(), observed_at: None })).await;
    let answer = stream.hear().await.unwrap();
    assert!(matches!(answer, Some(v1::attach_response::Message::Ack(_))), "{answer:?}");
}

async fn clashes(operator: &mut Operator) -> Vec<v1::Alert> {
    let alerts = operator.alerts(v1::AlertState::Firing).await;
    let is_clash = |alert: &v1::Alert| alert.finding.as_ref().unwrap().check == "identity_clash";
    alerts.into_iter().filter(is_clash).collect()
}

#[tokio::test]
async fn a_copy_on_another_machine_is_refused_and_both_are_named() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let said = report(1, agent.posture(&[("/srv", Verdict::Encrypted)]));
    stream.report(said.clone()).await.unwrap();

    let clone = copy(&agent, "es-clone", "other boot");
    for _ in 0..2 {
        let status = server.refused(&clone).await;
        assert_eq!(status.code(), Code::Aborted);
        assert_eq!(status.metadata().get(refusal::HEADER).unwrap(), refusal::IDENTITY_CLASH);
        assert!(status.message().contains("token create --replace"), "{status}");
    }
    beat(&server, &mut stream, &said.digest).await;
    let mut operator = server.operator().await;
    let found = clashes(&mut operator).await;
    assert_eq!(found.len(), 1, "one alert, however often it tries");
    let finding = found[0].finding.clone().unwrap();
    assert_eq!(finding.severity(), v1::Severity::Critical);
    let evidence = |name: &str| finding.evidence[name].as_str();
    assert_eq!((evidence("first_hostname"), evidence("second_hostname")), ("es-1", "es-clone"));
    assert_eq!((evidence("first_address"), evidence("second_address")), ("127.0.0.1", "127.0.0.1"));
    let node = operator.nodes().await.remove(0);
    assert_eq!((&*node.hostname, node.connected), ("es-1", true));

    // A restart of the server makes no place for it.
    let clock = server.clock.clone();
    drop(operator);
    server.stop().await;
    let server = Server::start_at(config(&state), clock).await;
    assert_eq!(server.refused(&clone).await.code(), Code::Aborted);
    server.attach(&agent).await;

    // The rightful one is enrolled anew: the copy is worth nothing, and the alert is over.
    let request = v1::CreateTokenRequest { replaces: "es-1".to_owned(), ..Default::default() };
    let mut operator = server.operator().await;
    let (_, token) = operator.create_token(request).await;
    let mut anew = Agent::new("es-1");
    anew.enroll(server.agents_port(), &server.ca, &token.secret).await.unwrap();
    assert!(clashes(&mut operator).await.is_empty());
    assert_eq!(server.refused(&clone).await.code(), Code::Unauthenticated);
    server.attach(&anew).await;
    server.stop().await;
}

#[tokio::test]
async fn a_clone_with_the_same_machine_id_is_found_out_by_the_first_going_on() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let said = report(1, agent.posture(&[("/srv", Verdict::Encrypted)]));
    stream.report(said.clone()).await.unwrap();
    let mut clone = copy(&agent, "es-clone", "other boot");
    clone.host.machine_fingerprint.clone_from(&agent.host.machine_fingerprint);
    let status = server.refused(&clone).await;
    assert_eq!(status.code(), Code::Unavailable, "it may be the same one after a crash");
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "30000");
    let mut operator = server.operator().await;
    assert!(clashes(&mut operator).await.is_empty());
    for _ in 0..4 {
        beat(&server, &mut stream, &said.digest).await;
    }
    assert_eq!(clashes(&mut operator).await.len(), 1);
    assert_eq!(server.refused(&clone).await.code(), Code::Aborted);
    beat(&server, &mut stream, &said.digest).await;
    server.stop().await;
}

#[tokio::test]
async fn a_machine_that_connects_again_or_restarts_is_no_second_one() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let mut agent = server.agent("es-1").await;
    let mut older = server.attach(&agent).await;
    let stream = server.attach(&agent).await;
    assert_eq!(older.end().await.code(), Code::Aborted, "the same boot: the newest one speaks");
    drop(stream);
    let mut operator = server.operator().await;
    until(async || (operator.status().await.connected == 0).then_some(())).await;
    agent.host.boot_id = "next boot".to_owned();
    let mut stream = server.attach(&agent).await;
    stream.report(report(1, agent.posture(&[("/srv", Verdict::Encrypted)]))).await.unwrap();
    assert!(clashes(&mut operator).await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_machine_restored_elsewhere_needs_an_operators_word() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    drop(server.attach(&agent).await);
    let mut operator = server.operator().await;
    until(async || (operator.status().await.connected == 0).then_some(())).await;
    server.clock.advance(Duration::from_mins(6));
    let restored = copy(&agent, "es-1-restored", "other boot");
    let status = server.refused(&restored).await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains(&format!("--replace {}", agent.host_id)), "{status}");
    assert!(clashes(&mut operator).await.is_empty(), "no two are seen");
    server.attach(&agent).await;
    server.stop().await;
}
