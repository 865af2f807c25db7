//! Tokens and certificates: who is let in, who is not, and what they are told.

use std::time::Duration;

use atrest_proto::model::Verdict;
use atrest_proto::v1;
use atrest_proto::v1::attach_request::Message as Say;
use atrest_proto::v1::attach_response::Message as Hear;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use tonic::Code;

use crate::harness::{Agent, Server, config, directory, pem, report};

#[tokio::test]
async fn a_token_lets_in_as_many_hosts_as_it_counts_and_no_more() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let token = server.token("prod", 2).await;
    assert_eq!(token.address, format!("localhost:{}", server.agents_port()));
    for name in ["es-1", "es-2"] {
        Agent::new(name).enroll(server.agents_port(), &server.ca, &token.secret).await.unwrap();
    }
    let refused = Agent::new("es-3").enroll(server.agents_port(), &server.ca, &token.secret).await;
    let status = refused.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("used up"), "{status}");
    let nodes = server.operator().await.nodes().await;
    let names: Vec<_> = nodes.iter().map(|node| (&*node.hostname, &*node.cluster)).collect();
    assert_eq!(names, [("es-1", "prod"), ("es-2", "prod")]);
    server.stop().await;
}

#[tokio::test]
async fn wrong_expired_and_revoked_tokens_are_each_told_apart() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let mut operator = server.operator().await;
    let port = server.agents_port();

    let wrong = Agent::new("es").enroll(port, &server.ca, "guess").await.unwrap_err();
    assert_eq!(wrong.code(), Code::Unauthenticated);
    assert!(wrong.message().contains("not known"), "{wrong}");

    let request = v1::CreateTokenRequest { cluster: "prod".to_owned(), ..Default::default() };
    let (about, token) = operator.create_token(request).await;
    let revoke = v1::RevokeTokenRequest { token_id: about.token_id.clone() };
    for _ in 0..2 {
        operator.tokens.revoke_token(revoke.clone()).await.expect("revoking is idempotent");
    }
    let revoked = Agent::new("es").enroll(port, &server.ca, &token.secret).await.unwrap_err();
    assert_eq!(revoked.code(), Code::PermissionDenied);
    assert!(revoked.message().contains("revoked"), "{revoked}");

    let token = operator.token("prod", 1).await;
    server.clock.advance(Duration::from_hours(1));
    let expired = Agent::new("es").enroll(port, &server.ca, &token.secret).await.unwrap_err();
    assert_eq!(expired.code(), Code::PermissionDenied);
    assert!(expired.message().contains("expired"), "{expired}");
    assert_eq!(operator.status().await.enrolled, 0);
    server.stop().await;
}

#[tokio::test]
async fn who_tries_too_many_secrets_is_turned_away_for_a_while() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let port = server.agents_port();
    for _ in 0..10 {
        let status = Agent::new("es").enroll(port, &server.ca, "guess").await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    let token = server.token("prod", 1).await;
    let status = Agent::new("es").enroll(port, &server.ca, &token.secret).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    server.clock.advance(Duration::from_mins(1));
    Agent::new("es").enroll(port, &server.ca, &token.secret).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_storm_of_enrolments_is_put_off_and_each_is_told_when_to_come_again() {
    let (_dir, state) = directory();
    let mut config = config(&state);
    config.enrollment.per_second_per_address = 2;
    let server = Server::start(config).await;
    let token = server.token("prod", 40).await;
    let (port, ca, secret) = (server.agents_port(), &server.ca, &token.secret);
    let mut waits = std::collections::BTreeSet::new();
    let mut put_off = Vec::new();
    for number in 0..30 {
        let mut agent = Agent::new(&format!("es-{number}"));
        let Err(status) = agent.enroll(port, ca, secret).await else { continue };
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("try again in"), "{status}");
        let wait = status.metadata().get("grpc-retry-pushback-ms").unwrap();
        waits.insert(wait.to_str().unwrap().parse::<u64>().unwrap());
        put_off.push(agent);
    }
    assert_eq!(put_off.len(), 10, "twenty at once");
    assert_eq!(
        waits.into_iter().collect::<Vec<_>>(),
        (1..=10).map(|turn| turn * 500).collect::<Vec<_>>()
    );
    // Another address is not its affair, and each comes in at its turn.
    for mut agent in put_off {
        server.clock.advance(Duration::from_millis(500));
        agent.enroll(port, ca, secret).await.unwrap();
    }
    assert_eq!(server.operator().await.status().await.enrolled, 30, "no use was lost");
    server.stop().await;
}

#[tokio::test]
async fn a_token_of_another_server_is_worth_nothing_here() {
    let (_dir, state) = directory();
    let (_other_dir, other_state) = directory();
    let (server, other) =
        (Server::start(config(&state)).await, Server::start(config(&other_state)).await);
    let token = other.token("prod", 1).await;
    let refused = Agent::new("es").enroll(server.agents_port(), &server.ca, &token.secret).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(server.operator().await.status().await.enrolled, 0);
    other.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn the_certificate_of_one_host_does_not_speak_with_the_key_of_another() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let (one, two) = (server.agent("es-1").await, server.agent("es-2").await);
    let mixed = Agent { certificate: one.certificate.clone(), ..two };
    server.refused(&mixed).await;
    // The server's own certificate is none of a host.
    let status = server.operator().await.status().await;
    assert_eq!((status.enrolled, status.connected), (2, 0));
    server.stop().await;
}

#[tokio::test]
async fn a_clone_is_refused_and_a_rebuilt_machine_takes_its_place_again() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let port = server.agents_port();
    let first = server.agent("es-1").await;
    let mut stream = server.attach(&first).await;
    let posture = first.posture(&[("/srv/es", Verdict::Unencrypted)]);
    stream.report(report(1, posture)).await.unwrap();

    let mut clone = Agent::new("es-2");
    clone.host.machine_fingerprint = first.host.machine_fingerprint.clone();
    let token = server.token("prod", 5).await;
    let status = clone.enroll(port, &server.ca, &token.secret).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    for part in ["es-1", "es-2", "atrestctl token create --replace", &first.host_id] {
        assert!(status.message().contains(part), "{status}");
    }

    // Wanted by an operator: the record stays, and the machine that had it is out.
    let request = v1::CreateTokenRequest { replaces: "es-1".to_owned(), ..Default::default() };
    let (about, token) = server.operator().await.create_token(request).await;
    assert_eq!((about.replaces, about.cluster), (first.host_id.clone(), "prod".to_owned()));
    clone.enroll(port, &server.ca, &token.secret).await.unwrap();
    assert_eq!(clone.host_id, first.host_id);
    let status = stream.end().await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("took this host's place"), "{status}");
    assert_eq!(server.refused(&first).await.code(), Code::Unauthenticated);

    let stream = server.attach(&clone).await;
    assert_eq!(stream.welcome.last_sequence, 1, "the history goes on");
    let mut operator = server.operator().await;
    assert_eq!(operator.status().await.enrolled, 1);
    assert_eq!(operator.findings().await.len(), 1, "a rebuilt machine does not fix a finding");
    server.stop().await;
}

#[tokio::test]
async fn a_lost_answer_is_given_again_without_another_use() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let token = server.token("prod", 1).await;
    let mut agent = Agent::new("es-1");
    agent.enroll(server.agents_port(), &server.ca, &token.secret).await.unwrap();
    let host_id = agent.host_id.clone();
    agent.enroll(server.agents_port(), &server.ca, &token.secret).await.unwrap();
    assert_eq!(agent.host_id, host_id);
    assert_eq!(server.operator().await.status().await.enrolled, 1);
    server.attach(&agent).await;
    server.stop().await;
}

#[tokio::test]
async fn without_a_certificate_there_is_no_stream() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let status = server.refused(&Agent::new("es")).await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("atrest-agent enroll"), "{status}");
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_by_the_handshake() {
    let (_dir, state) = directory();
    let (_other_dir, other_state) = directory();
    let server = Server::start(config(&state)).await;
    let other = Server::start(config(&other_state)).await;
    let stranger = other.agent("es").await;
    let status = server.refused(&stranger).await;
    assert!(status.message().contains("UnknownCA") || status.code() == Code::Unknown, "{status:?}");
    other.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_that_its_holder_signed_is_refused() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let real = server.agent("es").await;
    let mut forger = Agent::new("es");
    forger.key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::default();
    let id = format!("spiffe://atrest/agent/{}", real.host_id);
    params.subject_alt_names = vec![rcgen::SanType::URI(id.as_str().try_into().unwrap())];
    forger.certificate = Some(pem(params.self_signed(&forger.key).unwrap().der()));
    server.refused(&forger).await;
    server.stop().await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused_with_words_and_ends_open_streams() {
    let (_dir, state) = directory();
    let mut config = config(&state);
    config.enrollment.rejoin = false;
    let server = Server::start(config).await;
    let agent = server.agent("es").await;
    let mut stream = server.attach(&agent).await;
    server.clock.advance(Duration::from_hours(24));
    for status in [stream.end().await, server.refused(&agent).await] {
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains("expired"), "{status}");
        assert!(status.message().contains("--replace"), "{status}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_host_that_was_off_comes_back_with_its_key_and_renews_at_once() {
    let (_dir, state) = directory();
    let mut config = config(&state);
    config.enrollment.rejoin_within = Duration::from_hours(8);
    let server = Server::start(config).await;
    let mut agent = server.agent("es-1").await;
    let gone = server.agent("es-2").await;
    server.clock.advance(Duration::from_hours(24 + 3));
    // Whoever has the certificate but not the key is nobody.
    let thief = Agent {
        key: Agent::new("x").key,
        certificate: agent.certificate.clone(),
        ..Agent::new("es-1")
    };
    server.refused(&thief).await;
    let mut stream = server.attach(&agent).await;
    stream.say(Say::Renew(v1::RenewRequest { csr: agent.csr() })).await;
    let Some(Hear::Renewed(renewed)) = stream.hear().await.unwrap() else { panic!("not renewed") };
    agent.take(&renewed.certificate_chain);
    server.clock.advance(Duration::from_hours(2));
    stream.report(report(1, agent.posture(&[("/srv", Verdict::Encrypted)]))).await.unwrap();
    server.attach(&agent).await;

    // One that does not renew is sent away after a minute.
    let mut idle = server.attach(&gone).await;
    server.clock.advance(Duration::from_mins(1));
    assert_eq!(idle.end().await.code(), Code::Unauthenticated);
    // Who was revoked does not come back, and who was away for too long is told what to do.
    server.clock.advance(Duration::from_hours(4));
    let status = server.refused(&gone).await;
    assert_eq!(status.code(), Code::Unauthenticated);
    for part in ["could have come back by itself until", "--replace", "atrest-agent enroll"] {
        assert!(status.message().contains(part), "{status}");
    }
    let request = v1::RevokeNodeRequest { node: "es-1".to_owned(), ..Default::default() };
    server.operator().await.nodes.revoke_node(request).await.unwrap();
    server.clock.advance(Duration::from_hours(20));
    assert_eq!(server.refused(&agent).await.code(), Code::PermissionDenied);
    server.stop().await;
}

/// Everyone who trusted the old authority goes on: agents get the new one with their next certificate.
#[tokio::test]
async fn a_new_authority_takes_over_and_nobody_is_shut_out() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let (old, clock) = (server.ca.clone(), server.clock.clone());
    let mut agent = server.agent("es-1").await;
    let token = server.token("prod", 2).await;
    atrest_server::authority::rotate(&state, clock.now()).unwrap();
    server.stop().await;
    let server = Server::start_at(config(&state), clock).await;
    assert_ne!(server.ca, old);
    // An agent that trusts the old one only, with a certificate of the old one.
    let mut stream = agent.attach(server.agents_port(), &old).await.unwrap();
    stream.say(Say::Renew(v1::RenewRequest { csr: agent.csr() })).await;
    let Some(Hear::Renewed(renewed)) = stream.hear().await.unwrap() else { panic!("not renewed") };
    let trusted: Vec<_> = renewed.authorities.iter().map(|der| pem(der)).collect();
    assert_eq!(trusted.len(), 2, "both, the new one first");
    agent.take(&renewed.certificate_chain);
    for ca in trusted {
        agent.attach(server.agents_port(), &ca).await.unwrap();
    }
    // A token that pins the old one still works, and so do operators who trust it.
    let mut late = Agent::new("es-2");
    late.enroll(server.agents_port(), &old, &token.secret).await.unwrap();
    late.attach(server.agents_port(), &server.ca).await.unwrap();
    let port = server.running.operators_addr.port();
    let mut operator = crate::harness::Operator::connect(port, &old, &server.admin).await;
    assert_eq!(operator.status().await.enrolled, 2);
    let token = server.token("prod", 1).await;
    let mut anew = Agent::new("es-3");
    anew.enroll(server.agents_port(), &server.ca, &token.secret).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_over_the_stream_for_the_same_key_only() {
    let (_dir, state) = directory();
    let mut config = config(&state);
    config.enrollment.rejoin = false;
    let server = Server::start(config).await;
    let mut agent = server.agent("es").await;
    let mut stream = server.attach(&agent).await;
    server.clock.advance(Duration::from_hours(12));
    stream.say(Say::Renew(v1::RenewRequest { csr: agent.csr() })).await;
    let Some(Hear::Renewed(renewed)) = stream.hear().await.unwrap() else { panic!("not renewed") };
    let old = agent.certificate.clone();
    agent.take(&renewed.certificate_chain);
    assert_eq!(renewed.authorities.len(), 1);

    // The first certificate is over; the stream goes on under the new one.
    server.clock.advance(Duration::from_hours(13));
    let posture = agent.posture(&[("/srv/es", Verdict::Encrypted)]);
    stream.report(report(1, posture)).await.unwrap();
    server.attach(&agent).await;
    let late = Agent { certificate: old, ..agent };
    assert_eq!(server.refused(&late).await.code(), Code::Unauthenticated);

    let other = Agent { key: Agent::new("x").key, ..late };
    stream.say(Say::Renew(v1::RenewRequest { csr: other.csr() })).await;
    assert_eq!(stream.end().await.code(), Code::Aborted, "the newer stream above took over");
    server.stop().await;
}

#[tokio::test]
async fn another_key_is_not_renewed() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es").await;
    let mut stream = server.attach(&agent).await;
    let csr = Agent::new("es").csr();
    stream.say(Say::Renew(v1::RenewRequest { csr })).await;
    assert_eq!(stream.end().await.code(), Code::PermissionDenied);
    server.stop().await;
}

#[tokio::test]
async fn hosts_have_the_labels_of_their_token_and_are_listed_and_counted_by_them() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let mut operator = server.operator().await;
    let port = server.agents_port();
    let mut agents = Vec::new();
    for (name, cluster, env) in [
        ("es-1", "logs", "prod"),
        ("es-2", "logs", "test"),
        ("es-3", "search", "prod"),
        ("es-4", "search", ""),
    ] {
        let label = (!env.is_empty()).then(|| ("env".to_owned(), env.to_owned()));
        let request = v1::CreateTokenRequest {
            cluster: cluster.to_owned(),
            labels: label.into_iter().collect(),
            ..Default::default()
        };
        let (_, token) = operator.create_token(request).await;
        let mut agent = Agent::new(name);
        agent.enroll(port, &server.ca, &token.secret).await.unwrap();
        agents.push(agent);
    }
    let mut stream = server.attach(&agents[0]).await;
    let posture = agents[0].posture(&[("/srv", Verdict::Encrypted)]);
    stream.report(report(1, posture)).await.unwrap();
    let request = v1::RevokeNodeRequest { node: "es-2".to_owned(), reason: String::new() };
    operator.nodes.revoke_node(request).await.unwrap();

    let request = v1::ListNodesRequest {
        labels: [("env".to_owned(), "prod".to_owned())].into(),
        ..Default::default()
    };
    let nodes = operator.fleet.list_nodes(request).await.unwrap().into_inner().nodes;
    let mut names: Vec<_> = nodes.iter().map(|node| &*node.hostname).collect();
    names.sort_unstable();
    assert_eq!(names, ["es-1", "es-3"]);
    assert!(nodes.iter().all(|node| node.labels["env"] == "prod"));

    for (by, expected) in [
        ("cluster", vec![("logs", 1, 1, 0, 1), ("search", 2, 0, 2, 0)]),
        ("label:env", vec![("", 1, 0, 1, 0), ("prod", 2, 1, 1, 0), ("test", 0, 0, 0, 1)]),
    ] {
        let request = v1::GetFleetStatusRequest { group_by: by.to_owned() };
        let status = operator.fleet.get_fleet_status(request).await.unwrap().into_inner();
        let groups: Vec<_> = status
            .groups
            .iter()
            .map(|group| {
                let counts = group.counts.as_ref().unwrap();
                let v1::GetFleetStatusResponse { enrolled, encrypted, unknown, revoked, .. } =
                    counts;
                (&*group.name, *enrolled, *encrypted, *unknown, *revoked)
            })
            .collect();
        assert_eq!(groups, expected);
        assert_eq!(groups.iter().map(|group| group.1).sum::<u64>(), status.enrolled);
    }
    let request = v1::GetFleetStatusRequest { group_by: "colour".to_owned() };
    let refused = operator.fleet.get_fleet_status(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let labels = [("a b".to_owned(), String::new())].into();
    let request = v1::CreateTokenRequest { labels, ..Default::default() };
    let refused = operator.tokens.create_token(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    // Who takes a place keeps its labels, unless told otherwise; so it is after a restart.
    let request = v1::CreateTokenRequest { replaces: "es-1".to_owned(), ..Default::default() };
    let (about, _) = operator.create_token(request).await;
    assert_eq!(about.labels["env"], "prod");
    let clock = server.clock.clone();
    drop(operator);
    server.stop().await;
    let server = Server::start_at(config(&state), clock).await;
    let request = v1::GetFleetStatusRequest { group_by: "label:env".to_owned() };
    let mut operator = server.operator().await;
    let status = operator.fleet.get_fleet_status(request).await.unwrap().into_inner();
    assert_eq!(status.groups.len(), 3);
    server.stop().await;
}
