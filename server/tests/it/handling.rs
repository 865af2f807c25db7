//! What operators do about alerts: acknowledge, look at, test who is told, and try again what was given up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use atrest_proto::model::Verdict;
use atrest_proto::v1;
use atrest_proto::v1::attach_request::Message as Say;
use atrest_proto::v1::attach_response::Message as Hear;
use atrest_server::alert::AlertState;
use atrest_server::store::{HostFilter, PageRequest, Store as _};
use tonic::Code;

use crate::alerts::Receiver;
use crate::ctl::{answer, ctl};
use crate::harness::{Server, config, directory, report, until};

#[tokio::test]
async fn an_alert_is_acknowledged_by_an_operator_and_its_end_is_told() {
    let (dir, state) = directory();
    let mut receiver = Receiver::start(dir.path()).await;
    let mut config = config(&state);
    receiver.add_to(&mut config);
    let server = Server::start(config).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let plain = agent.posture(&[("/srv/es", Verdict::Unencrypted)]);
    stream.report(report(1, plain)).await.unwrap();
    let alert_id = receiver.next().await.payload.alert_id;

    let short: String = alert_id.chars().take(8).collect();
    let shown = answer(&server, &["alert", "show", &short]).await;
    for part in ["firing high es-1", "id: ", &alert_id, "cluster: prod", "plaintext on: /dev/sdb"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let acked = [
        "alert",
        "ack",
        &short,
        "--comment",
        "disk is on its way",
        "--until",
        "2999-01-01T00:00:00Z",
    ];
    let acked = answer(&server, &acked).await;
    assert!(acked.contains("acknowledged by admin at"), "{acked}");
    assert!(acked.contains("until 2999-01-01T00:00:00Z: disk is on its way"), "{acked}");
    let listed = answer(&server, &["alerts"]).await;
    assert!(listed.contains("disk is on its way"), "{listed}");
    let json = answer(&server, &["alert", "show", &alert_id, "--format", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["alert"]["ack"]["comment"], "disk is on its way");
    let mut operator = server.operator().await;
    let entry = operator.audit().await.remove(0);
    assert_eq!(entry.rpc, "AlertService/AckAlert");
    assert_eq!(entry.object, format!("alert:{alert_id}"));
    assert!(entry.detail.contains("es-1") && entry.detail.contains("disk is on its way"));

    stream.report(report(2, agent.posture(&[("/srv/es", Verdict::Encrypted)]))).await.unwrap();
    assert_eq!(receiver.next().await.payload.state, AlertState::Resolved);
    let ack = |alert_id: &str, until| v1::AckAlertRequest {
        alert_id: alert_id.to_owned(),
        comment: String::new(),
        until,
    };
    let over = operator.alert.ack_alert(ack(&alert_id, None)).await.unwrap_err();
    assert_eq!(over.code(), Code::FailedPrecondition, "{over}");
    let past = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    for (id, until, code) in [
        ("", None, Code::InvalidArgument),
        ("ab%", None, Code::InvalidArgument),
        ("ffffffffffffffffffff", None, Code::NotFound),
        (alert_id.as_str(), past, Code::InvalidArgument),
    ] {
        let refused = operator.alert.ack_alert(ack(id, until)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{id}: {refused}");
    }
    let (code, _, stderr) = ctl(&server, &["alert", "ack", "abcd", "--until", "soon"]).await;
    assert_eq!(code, Some(64), "{stderr}");
    server.stop().await;
}

#[tokio::test]
async fn what_was_given_up_is_listed_and_tried_again() {
    let (dir, state) = directory();
    let mut receiver = Receiver::start(dir.path()).await;
    let mut config = config(&state);
    receiver.add_to(&mut config);
    let server = Server::start(config).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    assert!(answer(&server, &["alert", "dead"]).await.contains("no message was given up"));
    receiver.answer.store(500, Ordering::Relaxed);
    stream.report(report(1, agent.posture(&[("/srv", Verdict::Unencrypted)]))).await.unwrap();
    let mut operator = server.operator().await;
    let dead = async |operator: &mut crate::harness::Operator| {
        let request = v1::ListDeadLettersRequest::default();
        operator.alert.list_dead_letters(request).await.unwrap().into_inner().letters
    };
    let letter = until(async || {
        server.clock.advance(Duration::from_millis(50));
        dead(&mut operator).await.into_iter().next()
    })
    .await;
    assert_eq!((letter.notifier.as_str(), letter.attempts), ("ops", 3));
    assert!(letter.error.contains("500"), "{}", letter.error);
    let shown = answer(&server, &["alert", "dead"]).await;
    assert!(shown.contains("es-1") && shown.contains("answered 500"), "{shown}");

    // Over meanwhile, and its end could be told: the beginning comes late, and its end after it.
    receiver.answer.store(200, Ordering::Relaxed);
    stream.report(report(2, agent.posture(&[("/srv", Verdict::Encrypted)]))).await.unwrap();
    until(async || {
        let next = receiver.received.try_recv().ok()?;
        (next.payload.state == AlertState::Resolved).then_some(())
    })
    .await;
    until(async || {
        let counts = server.store.delivery_counts().await.unwrap();
        (counts["ops"].pending == 0).then_some(())
    })
    .await;
    assert_eq!(ctl(&server, &["alert", "retry"]).await.0, Some(1), "which one?");
    assert_eq!(ctl(&server, &["alert", "retry", "4711"]).await.0, Some(1), "there is none");
    let message = letter.delivery_id.to_string();
    let said = answer(&server, &["alert", "retry", &message]).await;
    assert_eq!(said, "tried again: 2 messages\n");
    for state in [AlertState::Firing, AlertState::Resolved] {
        assert_eq!(receiver.next().await.payload.state, state);
    }
    let entry = operator.audit().await.remove(0);
    assert_eq!(
        (&*entry.rpc, entry.object),
        ("AlertService/RetryDeadLetters", format!("message:{message}"))
    );
    assert_eq!(answer(&server, &["alert", "retry", "--all"]).await, "tried again: 0 messages\n");
    server.stop().await;
}

#[tokio::test]
async fn a_notifier_is_tested_at_once() {
    let (dir, state) = directory();
    let mut receiver = Receiver::start(dir.path()).await;
    let mut config = config(&state);
    receiver.add_to(&mut config);
    let server = Server::start(config).await;
    let said = answer(&server, &["alert", "test", "ops"]).await;
    assert_eq!(said, "ops took the test message, and its end\n");
    let fired = receiver.next().await.payload;
    assert!(fired.summary.starts_with("TEST"), "{}", fired.summary);
    assert_eq!((&*fired.check, &*fired.severity), ("test", "info"));
    let resolved = receiver.next().await.payload;
    assert_eq!((resolved.state, resolved.alert_id), (AlertState::Resolved, fired.alert_id));
    receiver.answer.store(401, Ordering::Relaxed);
    let (code, stdout, stderr) = ctl(&server, &["alert", "test", "ops", "--format", "json"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("did not take the test message") && stderr.contains("401"), "{stderr}");
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&json["delivered"], &json["notifier"]), (&false.into(), &"ops".into()));
    let (code, _, stderr) = ctl(&server, &["alert", "test", "nobody"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("there are ops"), "{stderr}");
    let mut operator = server.operator().await;
    assert!(operator.alerts(v1::AlertState::Firing).await.is_empty(), "it is no alert");
    let tests = operator.audit().await;
    let tests = tests.iter().filter(|entry| entry.object == "notifier:ops");
    assert_eq!(tests.count(), 2);
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_that_is_not_renewed_is_an_alert_until_it_is() {
    let (dir, state) = directory();
    let mut receiver = Receiver::start(dir.path()).await;
    let mut config = config(&state);
    receiver.add_to(&mut config);
    // The host is heard of only when it renews.
    config.agents.silent_after = Duration::from_hours(100);
    let server = Server::start(config.clone()).await;
    let agent = server.agent("es-1").await;
    let off = server.agent("es-2").await;
    let mut stream = server.attach(&agent).await;
    server.clock.advance(Duration::from_hours(17));
    server.clock.advance(Duration::from_mins(30));
    assert_eq!(server.operator().await.status().await.firing_alerts, 0);
    server.clock.advance(Duration::from_mins(40));
    let fired = receiver.next().await.payload;
    assert_eq!((fired.state, &*fired.check), (AlertState::Firing, "certificate_ending"));
    assert_eq!((&*fired.host, &*fired.asset), ("es-1", "agent"));
    // A host that was off comes with one that is ending, and has a moment to renew it.
    let mut late = server.attach(&off).await;
    server.running.hub.sweep().await;
    late.say(Say::Renew(v1::RenewRequest { csr: off.csr() })).await;
    assert!(matches!(late.hear().await.unwrap(), Some(Hear::Renewed(_))));
    server.clock.advance(Duration::from_mins(20));
    server.running.hub.sweep().await;
    assert_eq!(server.operator().await.status().await.firing_alerts, 1);
    // Known after a restart, and a report that does not speak of it changes nothing.
    let clock = server.clock.clone();
    server.stop().await;
    let server = Server::start_at(config, clock).await;
    drop(stream);
    stream = server.attach(&agent).await;
    stream.report(report(1, agent.posture(&[]))).await.unwrap();
    assert_eq!(server.operator().await.status().await.firing_alerts, 1);
    stream.say(Say::Renew(v1::RenewRequest { csr: agent.csr() })).await;
    let resolved = receiver.next().await.payload;
    assert_eq!((resolved.state, resolved.alert_id), (AlertState::Resolved, fired.alert_id));
    server.stop().await;
}

#[tokio::test]
async fn an_authority_that_ends_is_an_alert_of_the_server_itself() {
    let (dir, state) = directory();
    let mut receiver = Receiver::start(dir.path()).await;
    let mut config = config(&state);
    receiver.add_to(&mut config);
    let server = Server::start(config.clone()).await;
    let agent = server.agent("es-1").await;
    assert_eq!(server.operator().await.status().await.enrolled, 1);
    let clock = server.clock.clone();
    server.stop().await;

    // Ten years are nearly over.
    clock.advance(Duration::from_hours(24 * (3_650 - 20)));
    let server = Server::start_at(config.clone(), clock.clone()).await;
    let fired = receiver.next().await.payload;
    assert_eq!((&*fired.check, &*fired.asset), ("certificate_ending", "authority"));
    assert!(fired.remedy.contains("ca.pem"), "{}", fired.remedy);
    // It is in no list of hosts, and is not counted.
    let page = PageRequest::default;
    let hosts = server.store.host_list(HostFilter::default(), page()).await.unwrap().items;
    let ids: Vec<_> = hosts.iter().map(|host| host.host_id.as_str()).collect();
    assert_eq!(ids, [agent.host_id.as_str()]);
    assert_eq!(server.store.host_roster().await.unwrap().len(), 1);
    assert_eq!(server.running.hub.counts().enrolled, 1);
    server.stop().await;

    // Told once; and what the remedy says ends it.
    std::fs::remove_file(state.join("ca.pem")).unwrap();
    let server = Server::start_at(config, clock).await;
    let over = receiver.next().await.payload;
    assert_eq!((over.state, over.alert_id), (AlertState::Resolved, fired.alert_id));
    server.stop().await;
}

#[tokio::test]
async fn lists_are_tables_for_spreadsheets_and_nothing_else_is() {
    let (_dir, state) = directory();
    let server = Server::start(config(&state)).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let plain = agent.posture(&[("/srv/es", Verdict::Unencrypted)]);
    stream.report(report(1, plain)).await.unwrap();
    // The columns that a row of this server must have, and what stands in one of them.
    let lists: [(&[&str], usize, &str, &str); 7] = [
        (&["status"], 1, "unencrypted", "1"),
        (&["status", "--by", "cluster"], 1, "name", "prod"),
        (&["nodes"], 1, "hostname", "es-1"),
        (&["findings"], 1, "asset", "data:/srv/es"),
        (&["history"], 1, "end", "ongoing"),
        (&["alerts"], 1, "finding.severity", "high"),
        (&["token", "list"], 1, "cluster", "prod"),
    ];
    for (command, rows, column, value) in lists {
        let csv = answer(&server, &[command, &["--format", "csv"]].concat()).await;
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let at = reader.headers().unwrap().iter().position(|name| name == column).unwrap();
        let found: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(found.len(), rows, "{command:?}: {csv}");
        assert_eq!(&found[0][at], value, "{command:?}: {csv}");
    }
    for command in [&["operators", "list"][..], &["audit"], &["alert", "dead"]] {
        let csv = answer(&server, &[command, &["--format", "csv"]].concat()).await;
        assert!(csv.lines().next().unwrap().contains(','), "{command:?}: {csv}");
    }
    let (code, _, stderr) = ctl(&server, &["node", "es-1", "--format", "csv"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("only lists are printed as CSV"), "{stderr}");
    server.stop().await;
}
