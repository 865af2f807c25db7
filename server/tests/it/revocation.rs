//! Ending a host's enrolment: at once, for good, and without claiming that anything was fixed.

use std::time::Duration;

use atrest_proto::model::Verdict;
use atrest_proto::v1;
use atrest_proto::v1::attach_request::Message as Say;
use atrest_proto::v1::attach_response::Message as Hear;
use tonic::{Code, Status};

use crate::ctl::answer;
use crate::harness::{Agent, Server, config, directory, report};

/// What a revoked agent is told, in words and in a word.
fn assert_revoked(status: &Status, host_id: &str) {
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    for part in ["revoked", "token create --replace", host_id] {
        assert!(status.message().contains(part), "{status}");
    }
    let word = status.metadata().get(atrest_proto::refusal::HEADER).unwrap();
    assert_eq!(word, atrest_proto::refusal::HOST_REVOKED);
}

async fn revoke(server: &Server, node: &str) -> Result<v1::Node, Status> {
    let request = v1::RevokeNodeRequest { node: node.to_owned(), reason: "sold".to_owned() };
    let answer = server.operator().await.nodes.revoke_node(request).await?;
    Ok(answer.into_inner().node.unwrap())
}

#[tokio::test]
async fn a_revoked_host_is_out_at_once_and_counted_nowhere() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let (agent, other) = (server.agent("es-1").await, server.agent("es-2").await);
    let mut stream = server.attach(&agent).await;
    let mut bystander = server.attach(&other).await;
    let posture = agent.posture(&[("/srv/es", Verdict::Unencrypted)]);
    stream.report(report(1, posture.clone())).await.unwrap();
    let mut operator = server.operator().await;
    assert_eq!(operator.status().await.firing_alerts, 1);

    let node = revoke(&server, "es-1").await.unwrap();
    assert_eq!((node.state(), node.connected), (v1::NodeState::Revoked, false));
    assert_eq!((&*node.revoked_by, &*node.revoked_reason), ("admin", "sold"));
    let first = node.revoked_at;
    assert_revoked(&stream.end().await, &agent.host_id);
    assert_revoked(&server.refused(&agent).await, &agent.host_id);

    let status = operator.status().await;
    assert_eq!((status.enrolled, status.connected, status.revoked), (1, 1, 1));
    assert_eq!((status.failing_findings, status.firing_alerts), (0, 0));
    let names: Vec<_> = operator.nodes().await.into_iter().map(|node| node.hostname).collect();
    assert_eq!(names, ["es-2"]);
    let request =
        v1::ListNodesRequest { state: v1::NodeState::Revoked.into(), ..Default::default() };
    let gone = operator.fleet.list_nodes(request).await.unwrap().into_inner().nodes;
    assert_eq!(gone.len(), 1);
    assert!(operator.findings().await.is_empty());
    let over = operator.alerts(v1::AlertState::Resolved).await;
    assert_eq!(over.iter().map(v1::Alert::end).collect::<Vec<_>>(), [v1::AlertEnd::HostRetired]);

    // Again changes nothing; a name of nobody is said to be one.
    server.clock.advance(Duration::from_mins(1));
    assert_eq!(revoke(&server, &agent.host_id).await.unwrap().revoked_at, first);
    assert_eq!(revoke(&server, "nobody").await.unwrap_err().code(), Code::NotFound);
    bystander.report(report(1, other.posture(&[("/srv", Verdict::Encrypted)]))).await.unwrap();
    // Silence is nothing to tell of a host that is out.
    server.clock.advance(Duration::from_mins(30));
    server.running.hub.sweep().await;
    assert_eq!(operator.status().await.stale, 1, "the other one");
    server.stop().await;
}

#[tokio::test]
async fn it_stays_out_after_a_restart_whatever_it_still_holds() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let token = server.token("prod", 5).await;
    let mut agent = Agent::new("es-1");
    agent.enroll(server.agents_port(), &server.ca, &token.secret).await.unwrap();
    let early = v1::CreateTokenRequest { replaces: "es-1".to_owned(), ..Default::default() };
    let (_, early) = server.operator().await.create_token(early).await;
    revoke(&server, "es-1").await.unwrap();
    let clock = server.clock.clone();
    server.stop().await;

    let server = Server::start_at(config(&state), clock).await;
    let port = server.agents_port();
    assert_revoked(&server.refused(&agent).await, &agent.host_id);
    // Neither its own token, though it has uses left, nor one for its place that was made before.
    let status = agent.enroll(port, &server.ca, &token.secret).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    assert!(status.message().contains("--replace"), "{status}");
    let status = agent.enroll(port, &server.ca, &early.secret).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    // An expired certificate is told the same.
    server.clock.advance(Duration::from_hours(25));
    assert_revoked(&server.refused(&agent).await, &agent.host_id);

    // A new token lets it in again, with its record and nothing proven.
    let request = v1::CreateTokenRequest { replaces: "es-1".to_owned(), ..Default::default() };
    let (_, token) = server.operator().await.create_token(request).await;
    let host_id = agent.host_id.clone();
    agent.enroll(port, &server.ca, &token.secret).await.unwrap();
    assert_eq!(agent.host_id, host_id);
    server.attach(&agent).await;
    let status = server.operator().await.status().await;
    assert_eq!((status.enrolled, status.unknown, status.revoked), (1, 1, 0));
    server.stop().await;
}

#[tokio::test]
async fn what_it_says_in_the_same_moment_is_not_acknowledged() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let mut streams = Vec::new();
    for name in ["a", "b", "c"] {
        let agent = server.agent(name).await;
        let stream = server.attach(&agent).await;
        streams.push((agent, stream));
    }
    for ((agent, stream), what) in streams.iter_mut().zip(["report", "renewal", "heartbeat"]) {
        revoke(&server, &agent.host_id).await.unwrap();
        let say = match what {
            "report" => Say::Report(report(1, agent.posture(&[("/srv", Verdict::Encrypted)]))),
            "renewal" => Say::Renew(v1::RenewRequest { csr: agent.csr() }),
            _ => Say::Heartbeat(v1::Heartbeat::default()),
        };
        stream.say(say).await;
        // The first thing that is heard, not the last.
        let status = stream.hear().await.unwrap_err();
        assert_revoked(&status, &agent.host_id);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_replaced_host_has_to_prove_itself_anew() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let mut agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let said = report(1, agent.posture(&[("/srv/es", Verdict::Encrypted)]));
    stream.report(said.clone()).await.unwrap();
    let mut operator = server.operator().await;
    assert_eq!(operator.status().await.encrypted, 1);
    let request = v1::CreateTokenRequest { replaces: "es-1".to_owned(), ..Default::default() };
    let (_, token) = operator.create_token(request).await;
    agent.key = Agent::new("new key").key;
    agent.enroll(server.agents_port(), &server.ca, &token.secret).await.unwrap();
    let status = operator.status().await;
    assert_eq!(
        (status.encrypted, status.unknown),
        (0, 1),
        "the old machine's proof is not its own"
    );
    // Even when it says that nothing changed.
    let mut stream =
        agent.attach_with(server.agents_port(), &server.ca, said.digest.clone()).await.unwrap();
    let asked = stream.hear().await.unwrap();
    assert!(matches!(asked, Some(v1::attach_response::Message::Resync(_))), "{asked:?}");
    stream.report(v1::Report { sequence: 2, ..said }).await.unwrap();
    assert_eq!(operator.status().await.encrypted, 1);
    server.stop().await;
}

#[tokio::test]
async fn an_asset_that_is_gone_for_good_is_over_by_an_operators_word_only() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let both =
        agent.posture(&[("/srv/old", Verdict::Unencrypted), ("/srv/es", Verdict::Encrypted)]);
    stream.report(report(1, both)).await.unwrap();
    let mut operator = server.operator().await;
    let request = |asset: &str| v1::RetireAssetRequest {
        node: "es-1".to_owned(),
        asset: asset.to_owned(),
        reason: "the disk was shredded".to_owned(),
    };
    let reported = operator.nodes.retire_asset(request("data:/srv/old")).await.unwrap_err();
    assert_eq!(reported.code(), Code::FailedPrecondition, "{reported}");

    let rest = report(2, agent.posture(&[("/srv/es", Verdict::Encrypted)]));
    let digest = rest.digest.clone();
    stream.report(rest.clone()).await.unwrap();
    assert_eq!(operator.nodes().await[0].state(), v1::NodeState::Unknown, "not seen is not fixed");
    let told = answer(&server, &["findings"]).await;
    assert!(told.contains("atrestctl retire es-1 data:/srv/old"), "{told}");
    let command = ["retire", "es-1", "data:/srv/old", "--reason", "the disk was shredded"];
    let told = answer(&server, &command).await;
    assert!(told.contains("data:/srv/old of es-1 counts as gone: 1 finding over"), "{told}");
    let entry = operator.audit().await.remove(0);
    assert_eq!((&*entry.rpc, &*entry.operator), ("NodeService/RetireAsset", "admin"));
    assert!(entry.detail.contains("/srv/old") && entry.detail.contains("shredded"), "{entry:?}");
    assert!(operator.findings().await.is_empty());
    let over = operator.alerts(v1::AlertState::Resolved).await;
    assert_eq!(over.iter().map(v1::Alert::end).collect::<Vec<_>>(), [v1::AlertEnd::AssetRetired]);
    let again = operator.nodes.retire_asset(request("data:/srv/old")).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition, "once");

    // What the host is without it, it is asked for.
    stream.say(Say::Heartbeat(v1::Heartbeat { digest, ..v1::Heartbeat::default() })).await;
    assert!(matches!(stream.hear().await.unwrap(), Some(Hear::Resync(_))));
    stream.report(v1::Report { sequence: 3, ..rest }).await.unwrap();
    assert_eq!(operator.nodes().await[0].state(), v1::NodeState::Encrypted);

    // There after all: another episode.
    let both =
        agent.posture(&[("/srv/old", Verdict::Unencrypted), ("/srv/es", Verdict::Encrypted)]);
    stream.report(report(4, both)).await.unwrap();
    assert_eq!(operator.status().await.firing_alerts, 1);
    server.stop().await;
}
