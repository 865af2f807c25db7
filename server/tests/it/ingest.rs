//! Reports, heartbeats and acknowledgements: what is held of a host, and that nothing is lost or counted twice.

use std::time::Duration;

use atrest_proto::model::Verdict;
use atrest_proto::v1;
use atrest_proto::v1::attach_request::Message as Say;
use atrest_proto::v1::attach_response::Message as Hear;
use atrest_server::clock::Clock;
use jiff::Timestamp;
use prost::bytes::Bytes;
use tonic::Code;
use tonic::codegen::http::uri::PathAndQuery;

use crate::harness::{Raw, Server, config, directory, report, until};

fn heartbeat(digest: Vec<u8>) -> Say {
    Say::Heartbeat(v1::Heartbeat { digest, observed_at: None })
}

#[tokio::test]
async fn a_report_is_acknowledged_shown_and_survives_a_restart() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    assert_eq!(stream.welcome.last_sequence, 0);
    assert_eq!(stream.welcome.heartbeat_interval.unwrap().seconds, 30);
    let posture =
        agent.posture(&[("/srv/es", Verdict::Unencrypted), ("/var/log/es", Verdict::Encrypted)]);
    assert_eq!(stream.report(report(1, posture.clone())).await.unwrap(), 1);

    let check = async |server: &Server, connected: u64| {
        let mut operator = server.operator().await;
        let status = operator.status().await;
        assert_eq!((status.enrolled, status.unencrypted, status.connected), (1, 1, connected));
        assert_eq!((status.failing_findings, status.firing_alerts), (1, 1));
        let findings = operator.findings().await;
        assert_eq!(findings.len(), 1);
        assert!(findings[0].opened_at.is_some());
        let request = v1::GetNodeRequest { node: "es-1".to_owned() };
        let node = operator.fleet.get_node(request).await.unwrap().into_inner();
        assert_eq!(node.node.unwrap().sequence, 1);
        assert_eq!(node.posture.unwrap(), posture.clone().into());
    };
    check(&server, 1).await;
    server.stop().await;
    let server = Server::start(config(&state)).await;
    check(&server, 0).await;
    assert_eq!(server.attach(&agent).await.welcome.last_sequence, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_report_that_changes_words_only_is_shown_tells_nobody_and_survives_a_restart() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let saying = |verdict, words: &str| {
        let mut posture = agent.posture(&[("/srv/es", verdict), ("/var/log/es", Verdict::Claimed)]);
        posture.findings[0].summary = words.to_owned();
        posture
    };
    stream.report(report(1, saying(Verdict::Unencrypted, "one"))).await.unwrap();
    let second = saying(Verdict::Unencrypted, "two");
    assert_eq!(stream.report(report(2, second.clone())).await.unwrap(), 2);
    let check = async |server: &Server| {
        let mut operator = server.operator().await;
        let status = operator.status().await;
        assert_eq!((status.unencrypted, status.failing_findings, status.firing_alerts), (1, 1, 1));
        let said = operator.findings().await.remove(0).finding.unwrap();
        assert_eq!(said.summary, "two");
        let alerts = operator.alerts(v1::AlertState::Firing).await;
        assert_eq!(alerts.len(), 1);
        assert_eq!(alerts[0].finding.as_ref().unwrap().summary, "one", "as it was when it began");
        let request = v1::GetNodeRequest { node: "es-1".to_owned() };
        let node = operator.fleet.get_node(request).await.unwrap().into_inner();
        assert_eq!(node.posture.unwrap(), second.clone().into());
        assert_eq!(node.node.unwrap().sequence, 2);
    };
    check(&server).await;
    server.stop().await;
    let server = Server::start(config(&state)).await;
    check(&server).await;

    // What was known of it is read at the start: words are enough then, and more than words is not taken for them.
    let mut stream = server.attach(&agent).await;
    assert_eq!(stream.welcome.last_sequence, 2);
    stream.report(report(3, saying(Verdict::Unencrypted, "three"))).await.unwrap();
    stream.report(report(4, saying(Verdict::Encrypted, "three"))).await.unwrap();
    stream.report(report(5, saying(Verdict::Encrypted, "five"))).await.unwrap();
    let mut operator = server.operator().await;
    let status = operator.status().await;
    assert_eq!((status.claimed, status.failing_findings, status.firing_alerts), (1, 0, 0));
    assert_eq!(operator.alerts(v1::AlertState::Resolved).await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_duplicate_or_an_older_report_is_acknowledged_without_effect() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let plain = agent.posture(&[("/srv/es", Verdict::Unencrypted)]);
    let encrypted = agent.posture(&[("/srv/es", Verdict::Encrypted)]);
    stream.report(report(5, plain.clone())).await.unwrap();
    assert_eq!(stream.report(report(5, encrypted.clone())).await.unwrap(), 5);
    assert_eq!(stream.report(report(4, encrypted.clone())).await.unwrap(), 4);
    let mut operator = server.operator().await;
    assert_eq!(operator.status().await.unencrypted, 1);
    stream.report(report(6, encrypted)).await.unwrap();
    assert_eq!(operator.status().await.encrypted, 1);
    assert_eq!(operator.nodes().await[0].sequence, 6);
    server.stop().await;
}

#[tokio::test]
async fn a_heartbeat_is_known_by_its_digest_or_asks_for_a_full_report() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    stream.say(heartbeat(vec![0; 32])).await;
    assert!(matches!(stream.hear().await.unwrap(), Some(Hear::Resync(_))));
    let report = report(1, agent.posture(&[("/srv/es", Verdict::Encrypted)]));
    let digest = report.digest.clone();
    stream.report(report).await.unwrap();

    let seen = server.operator().await.nodes().await[0].last_seen_at.unwrap();
    server.clock.advance(Duration::from_secs(30));
    stream.say(heartbeat(digest.clone())).await;
    let answer = stream.hear().await.unwrap();
    assert_eq!(answer, Some(Hear::Ack(v1::Ack { sequence: 1 })));
    let later = server.operator().await.nodes().await[0].last_seen_at.unwrap();
    assert_eq!(later.seconds - seen.seconds, 30);

    // A host that believes in another posture is asked at once.
    let port = server.agents_port();
    let mut other = agent.attach_with(port, &server.ca, vec![9; 32]).await.unwrap();
    assert!(matches!(other.hear().await.unwrap(), Some(Hear::Resync(_))));
    let mut same = agent.attach_with(port, &server.ca, digest.clone()).await.unwrap();
    same.say(heartbeat(digest)).await;
    assert!(matches!(same.hear().await.unwrap(), Some(Hear::Ack(_))));
    server.stop().await;
}

#[tokio::test]
async fn a_broken_message_ends_only_its_own_stream() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let (good, bad) = (server.agent("good").await, server.agent("bad").await);
    let mut bystander = server.attach(&good).await;
    let posture = bad.posture(&[("/srv/es", Verdict::Encrypted)]);
    let fine = report(1, posture.clone());

    let no_posture = v1::Report { posture: None, ..fine.clone() };
    let wrong_digest = v1::Report { digest: vec![1; 32], ..fine.clone() };
    let sequence_zero = v1::Report { sequence: 0, ..fine.clone() };
    let too_high = v1::Report { sequence: u64::MAX, ..fine.clone() };
    let mut nameless = v1::Posture::from(posture.clone());
    nameless.findings[0].check.clear();
    let digest = atrest_proto::digest::posture(&nameless).to_vec();
    let nameless = v1::Report { digest, posture: Some(nameless), ..fine.clone() };
    let mut escape = posture;
    escape.host.hostname = "evil\u{1b}[2J".to_owned();
    for broken in [no_posture, wrong_digest, sequence_zero, too_high, nameless, report(1, escape)] {
        let mut stream = server.attach(&bad).await;
        let status = stream.report(broken).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    let mut silent = bad.open(server.agents_port(), &server.ca).await.unwrap();
    silent.say(Say::Report(fine)).await;
    assert_eq!(silent.end().await.code(), Code::InvalidArgument, "a report before the hello");

    let posture = good.posture(&[("/srv/es", Verdict::Encrypted)]);
    bystander.report(report(1, posture)).await.unwrap();
    let status = server.operator().await.status().await;
    assert_eq!((status.encrypted, status.unknown), (1, 1));
    server.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_message_and_messages_that_are_too_large_end_their_stream() {
    let (_dir, state) = directory();
    let mut config = config(&state);
    config.agents.max_report_mib = 1;
    let server = Server::start(config).await;
    let agent = server.agent("es-1").await;
    let channel = agent.connect(server.agents_port(), &server.ca).await.unwrap();
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let request = tonic::Request::new(tokio_stream::iter([Bytes::from_static(&[0xff; 64])]));
    let path = PathAndQuery::from_static("/atrest.v1.AgentService/Attach");
    let mut answers = grpc.streaming(request, path, Raw).await.unwrap().into_inner();
    let status = answers.message().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");

    let mut stream = server.attach(&agent).await;
    let mut posture = agent.posture(&[("/srv", Verdict::Encrypted)]);
    posture.findings[0].summary = "x".repeat(1 << 20);
    let status = stream.report(report(1, posture)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    server.attach(&agent).await;
    server.stop().await;
}

#[tokio::test]
async fn a_host_with_a_wrong_clock_harms_nobody() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    for (name, at) in [("late", Timestamp::MIN), ("early", Timestamp::MAX)] {
        let agent = server.agent(name).await;
        let mut stream = server.attach(&agent).await;
        let mut posture = agent.posture(&[("/srv", Verdict::Unencrypted)]);
        posture.observed_at = at;
        stream.report(report(1, posture)).await.unwrap();
        let mut posture = agent.posture(&[("/srv", Verdict::Encrypted)]);
        posture.observed_at = at;
        stream.report(report(2, posture)).await.unwrap();
    }
    server.stop().await;
    let server = Server::start(config(&state)).await;
    let mut operator = server.operator().await;
    assert_eq!(operator.status().await.encrypted, 2);
    let now = server.clock.now().as_second();
    for node in operator.nodes().await {
        assert!(node.observed_at.unwrap().seconds <= now, "nobody looks in the future");
    }
    let resolved = operator.alerts(v1::AlertState::Resolved).await;
    assert_eq!(resolved.len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn an_agent_cannot_speak_for_the_server() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let mut posture = agent.posture(&[("/srv/es", Verdict::Unencrypted)]);
    posture.findings[0].check = "node_silent".to_owned();
    posture.findings[0].asset = "host".to_owned();
    stream.report(report(1, posture)).await.unwrap();
    let status = server.operator().await.status().await;
    assert_eq!((status.failing_findings, status.stale), (0, 0));
    server.stop().await;
}

#[tokio::test]
async fn the_newest_stream_of_a_host_speaks_for_it() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut older = server.attach(&agent).await;
    let mut newer = server.attach(&agent).await;
    assert_eq!(older.end().await.code(), Code::Aborted);
    newer.report(report(1, agent.posture(&[("/srv", Verdict::Claimed)]))).await.unwrap();
    let mut operator = server.operator().await;
    let status = operator.status().await;
    assert_eq!((status.connected, status.claimed), (1, 1));
    drop(newer);
    until(async || (operator.status().await.connected == 0).then_some(())).await;
    server.stop().await;
}

#[tokio::test]
async fn a_silent_host_turns_stale_is_alerted_and_comes_back() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let (quiet, loud) = (server.agent("quiet").await, server.agent("loud").await);
    let mut streams = Vec::new();
    for agent in [&quiet, &loud] {
        let mut stream = server.attach(agent).await;
        let report = report(1, agent.posture(&[("/srv", Verdict::Encrypted)]));
        let digest = report.digest.clone();
        stream.report(report).await.unwrap();
        streams.push((stream, digest));
    }
    let mut operator = server.operator().await;
    // One that beats is not silent, one that has missed several beats is.
    for _ in 0..11 {
        server.clock.advance(Duration::from_secs(30));
        let (stream, digest) = &mut streams[1];
        stream.say(heartbeat(digest.clone())).await;
        stream.hear().await.unwrap();
    }
    until(async || (operator.status().await.stale == 1).then_some(())).await;
    let status = operator.status().await;
    assert_eq!((status.encrypted, status.firing_alerts), (1, 1));
    let nodes = operator.nodes().await;
    assert_eq!(nodes[0].hostname, "quiet");
    assert_eq!(nodes[0].state(), v1::NodeState::Stale);
    let findings = operator.findings().await;
    assert_eq!(findings[0].finding.as_ref().unwrap().check, "node_silent");

    let (stream, digest) = &mut streams[0];
    stream.say(heartbeat(digest.clone())).await;
    stream.hear().await.unwrap();
    let status = operator.status().await;
    assert_eq!((status.encrypted, status.stale, status.firing_alerts), (2, 0, 0));
    let resolved = operator.alerts(v1::AlertState::Resolved).await;
    assert_eq!(resolved.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn an_agent_that_only_says_hello_falls_silent() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let good = report(1, agent.posture(&[("/srv/es", Verdict::Encrypted)]));
    let digest = good.digest.clone();
    stream.report(good).await.unwrap();
    // Its next reports are refused, so that it comes again and again.
    for _ in 0..4 {
        server.clock.advance(Duration::from_mins(2));
        let mut again = server.attach(&agent).await;
        again.say(heartbeat(vec![7; 32])).await;
        assert!(matches!(again.hear().await.unwrap(), Some(Hear::Resync(_))));
        server.running.hub.sweep().await;
    }
    assert_eq!(server.operator().await.status().await.stale, 1);
    // What it says of its present posture is a sign of life.
    let mut again = server.attach(&agent).await;
    again.say(heartbeat(digest)).await;
    assert!(matches!(again.hear().await.unwrap(), Some(Hear::Ack(_))));
    assert_eq!(server.operator().await.status().await.encrypted, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_servers_own_absence_is_not_its_hosts_silence() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    server.attach(&agent).await;
    let clock = server.clock.clone();
    server.stop().await;

    clock.advance(Duration::from_hours(1));
    let server = Server::start_at(config(&state), Clock::manual(clock.now())).await;
    let mut operator = server.operator().await;
    for _ in 0..9 {
        server.clock.advance(Duration::from_secs(30));
        server.running.hub.sweep().await;
        assert_eq!(operator.status().await.stale, 0, "it is given the time to come back");
    }
    server.clock.advance(Duration::from_mins(1));
    server.running.hub.sweep().await;
    assert_eq!(operator.status().await.stale, 1);
    server.stop().await;
}

#[tokio::test]
async fn who_was_heard_of_last_survives_a_restart() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let report = report(1, agent.posture(&[("/srv", Verdict::Encrypted)]));
    let digest = report.digest.clone();
    stream.report(report).await.unwrap();
    server.clock.advance(Duration::from_secs(10));
    stream.say(heartbeat(digest)).await;
    stream.hear().await.unwrap();
    let seen = server.clock.now();
    server.stop().await;
    let server = Server::start_at(config(&state), Clock::manual(seen)).await;
    let node = server.operator().await.nodes().await.remove(0);
    assert_eq!(node.last_seen_at.unwrap().seconds, seen.as_second());
    server.stop().await;
}

#[tokio::test]
async fn agents_are_told_when_the_server_stops() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let (status, ()) = tokio::join!(stream.end(), server.stop());
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("stopping"), "{status}");
}

#[tokio::test]
async fn long_lists_come_in_pages_worst_first() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let verdicts = [Verdict::Encrypted, Verdict::Unencrypted, Verdict::Unknown, Verdict::Partial];
    for (at, verdict) in verdicts.into_iter().enumerate() {
        let agent = server.agent(&format!("es-{at}")).await;
        let mut stream = server.attach(&agent).await;
        let posture = agent.posture(&[("/a", verdict), ("/b", verdict)]);
        stream.report(report(1, posture)).await.unwrap();
    }
    let mut operator = server.operator().await;
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListNodesRequest { page_size: 1, page_token, ..Default::default() };
        let page = operator.fleet.list_nodes(request).await.unwrap().into_inner();
        assert_eq!(page.nodes.len(), 1);
        names.extend(page.nodes.into_iter().map(|node| node.hostname));
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    assert_eq!(names, ["es-1", "es-3", "es-2", "es-0"]);

    let mut findings = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListFindingsRequest { page_size: 2, page_token, ..Default::default() };
        let page = operator.fleet.list_findings(request).await.unwrap().into_inner();
        findings.extend(
            page.findings.into_iter().map(|row| (row.hostname, row.finding.unwrap().asset)),
        );
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    findings.sort();
    assert_eq!(findings.len(), 6, "{findings:?}");
    findings.dedup();
    assert_eq!(findings.len(), 6, "none twice");

    let request = v1::ListNodesRequest { page_token: "x".to_owned(), ..Default::default() };
    let status = operator.fleet.list_nodes(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    server.stop().await;
}
