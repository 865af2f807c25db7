//! From a report to a webhook: signed, once, tried again, resolved in order, and never lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use atrest_proto::model::{Severity, Verdict};
use atrest_proto::v1;
use atrest_server::alert::{AlertEnd, AlertState, Route};
use atrest_server::config::Config;
use atrest_server::labels::Labels;
use atrest_server::notify::signature::{ID_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER};
use atrest_server::notify::webhook::Payload;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::harness::{Server, config, directory, report, until, webhook, within};

/// A receiver that answers as it is told to.
pub(crate) struct Receiver {
    url: String,
    secret_file: std::path::PathBuf,
    pub(crate) answer: Arc<AtomicU16>,
    pub(crate) received: mpsc::UnboundedReceiver<Received>,
}

pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) payload: Payload,
}

struct Shared {
    secret: Secret,
    answer: Arc<AtomicU16>,
    received: mpsc::UnboundedSender<Received>,
}

impl Receiver {
    pub(crate) async fn start(dir: &std::path::Path) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let text = Secret::generate();
        let secret_file = dir.join("webhook.secret");
        std::fs::write(&secret_file, text.as_bytes()).unwrap();
        std::fs::set_permissions(&secret_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let answer = Arc::new(AtomicU16::new(202));
        let (send, received) = mpsc::unbounded_channel();
        let shared = Shared {
            secret: Secret::parse(&text).unwrap(),
            answer: Arc::clone(&answer),
            received: send,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().route("/hook", post(take)).with_state(Arc::new(shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, secret_file, answer, received }
    }

    pub(crate) fn add_to(&self, config: &mut Config) {
        config.notify.notifiers.push(webhook("ops", &self.url, &self.secret_file));
    }

    pub(crate) async fn next(&mut self) -> Received {
        within(self.received.recv()).await.expect("the receiver runs")
    }
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name| headers.get(name).unwrap().to_str().unwrap();
    let (id, timestamp) = (header(ID_HEADER), header(TIMESTAMP_HEADER).parse().unwrap());
    assert!(shared.secret.verify(id, timestamp, &body, header(SIGNATURE_HEADER)));
    let payload = serde_json::from_slice(&body).unwrap();
    shared.received.send(Received { id: id.to_owned(), payload }).unwrap();
    StatusCode::from_u16(shared.answer.load(Ordering::Relaxed)).unwrap()
}

async fn deliveries(server: &Server, state: v1::AlertState) -> Vec<v1::Delivery> {
    let alerts = server.operator().await.alerts(state).await;
    alerts.into_iter().flat_map(|alert| alert.deliveries).collect()
}

#[tokio::test]
async fn a_plain_volume_is_told_once_and_once_more_when_it_is_fixed() {
    let (dir, state) = directory();
    let mut receiver = Receiver::start(dir.path()).await;
    let mut config = config(&state);
    receiver.add_to(&mut config);
    let server = Server::start(config).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let plain = agent.posture(&[("/srv/es", Verdict::Unencrypted)]);
    stream.report(report(1, plain.clone())).await.unwrap();

    let fired = receiver.next().await;
    assert_eq!(fired.payload.schema, "atrest.alert/1");
    assert_eq!(fired.payload.state, AlertState::Firing);
    assert_eq!(fired.payload.check, "volume_encrypted");
    assert_eq!(fired.payload.severity, "high");
    assert_eq!((&*fired.payload.host, &*fired.payload.cluster), ("es-1", "prod"));
    assert_eq!(fired.payload.path, "/srv/es");
    assert_eq!(fired.payload.devices, ["/dev/sdb"]);
    assert_eq!(fired.payload.ended_at, None);

    // The same again, and the asset out of sight: nothing new to tell.
    stream.report(report(2, plain)).await.unwrap();
    stream.report(report(3, agent.posture(&[]))).await.unwrap();
    stream.report(report(4, agent.posture(&[("/srv/es", Verdict::Encrypted)]))).await.unwrap();
    let resolved = receiver.next().await;
    assert_eq!(resolved.payload.state, AlertState::Resolved);
    assert_eq!(resolved.payload.alert_id, fired.payload.alert_id);
    assert_ne!(resolved.id, fired.id);
    assert!(resolved.payload.ended_at.is_some());

    // Plain again: another episode, another alert.
    stream.report(report(5, agent.posture(&[("/srv/es", Verdict::Partial)]))).await.unwrap();
    let again = receiver.next().await;
    assert_eq!(again.payload.state, AlertState::Firing);
    assert_ne!(again.payload.alert_id, fired.payload.alert_id);
    until(async || {
        let deliveries = deliveries(&server, v1::AlertState::Firing).await;
        (deliveries[0].status == "delivered").then_some(())
    })
    .await;
    assert!(receiver.received.try_recv().is_err(), "nothing was told twice");
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_taken_is_tried_again_with_the_same_id_and_in_order() {
    let (dir, state) = directory();
    let mut receiver = Receiver::start(dir.path()).await;
    let mut config = config(&state);
    receiver.add_to(&mut config);
    let server = Server::start(config).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    receiver.answer.store(503, Ordering::Relaxed);
    stream.report(report(1, agent.posture(&[("/srv", Verdict::Unencrypted)]))).await.unwrap();
    let first = receiver.next().await;
    // Fixed before anybody was told: both are told, in order.
    stream.report(report(2, agent.posture(&[("/srv", Verdict::Encrypted)]))).await.unwrap();
    until(async || {
        let deliveries = deliveries(&server, v1::AlertState::Resolved).await;
        assert_eq!(deliveries.len(), 2);
        (deliveries[0].attempts == 1).then_some(())
    })
    .await;
    let told = deliveries(&server, v1::AlertState::Resolved).await;
    assert_eq!(told[0].status, "pending");
    assert!(told[0].last_error.contains("503"), "{}", told[0].last_error);
    assert_eq!(told[1].attempts, 0, "the end waits for the beginning");

    receiver.answer.store(201, Ordering::Relaxed);
    server.clock.advance(Duration::from_secs(2));
    let second = receiver.next().await;
    assert_eq!((&second.id, &second.payload), (&first.id, &first.payload));
    let resolved = receiver.next().await;
    assert_eq!(resolved.payload.state, AlertState::Resolved);
    server.stop().await;
}

#[tokio::test]
async fn what_is_never_taken_is_given_up_and_listed() {
    let (dir, state) = directory();
    let mut receiver = Receiver::start(dir.path()).await;
    let mut config = config(&state);
    receiver.add_to(&mut config);
    let server = Server::start(config).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    receiver.answer.store(302, Ordering::Relaxed);
    stream.report(report(1, agent.posture(&[("/srv", Verdict::Unencrypted)]))).await.unwrap();
    for attempts in 1..=3 {
        receiver.next().await;
        until(async || {
            let deliveries = deliveries(&server, v1::AlertState::Firing).await;
            (deliveries[0].attempts == attempts).then_some(())
        })
        .await;
        server.clock.advance(Duration::from_secs(5));
    }
    let told = deliveries(&server, v1::AlertState::Firing).await;
    assert_eq!(told[0].status, "failed");
    // A dead letter does not hold up what comes after it.
    receiver.answer.store(200, Ordering::Relaxed);
    stream.report(report(2, agent.posture(&[("/srv", Verdict::Encrypted)]))).await.unwrap();
    assert_eq!(receiver.next().await.payload.state, AlertState::Resolved);
    server.stop().await;
}

#[tokio::test]
async fn what_was_not_told_before_a_restart_is_told_after_it() {
    let (dir, state) = directory();
    let mut receiver = Receiver::start(dir.path()).await;
    let mut config = config(&state);
    receiver.add_to(&mut config);
    let server = Server::start(config.clone()).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    receiver.answer.store(500, Ordering::Relaxed);
    stream.report(report(1, agent.posture(&[("/srv", Verdict::Unencrypted)]))).await.unwrap();
    let first = receiver.next().await;
    let clock = server.clock.clone();
    server.stop().await;

    receiver.answer.store(204, Ordering::Relaxed);
    clock.advance(Duration::from_mins(1));
    let server = Server::start_at(config, clock).await;
    assert_eq!(receiver.next().await.id, first.id);
    server.stop().await;
}

#[tokio::test]
async fn a_rule_or_a_receiver_that_is_switched_on_is_told_of_what_fails_now() {
    let (dir, state) = directory();
    let mut strict = config(&state);
    strict.alerts.min_severity = Severity::Critical;
    let server = Server::start(strict).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let posture = agent.posture(&[("/srv", Verdict::Unencrypted)]);
    stream.report(report(1, posture)).await.unwrap();
    assert_eq!(server.operator().await.status().await.firing_alerts, 0);
    server.stop().await;

    let server = Server::start(config(&state)).await;
    assert_eq!(server.operator().await.status().await.firing_alerts, 1);
    server.stop().await;

    let mut receiver = Receiver::start(dir.path()).await;
    let mut told = config(&state);
    receiver.add_to(&mut told);
    let server = Server::start(told).await;
    let received = receiver.next().await;
    assert_eq!(received.payload.path, "/srv");
    assert_eq!(received.payload.devices, ["/dev/sdb"]);
    server.stop().await;
}

#[tokio::test]
async fn the_silence_of_a_host_is_one_alert_more_and_touches_no_other() {
    let (dir, state) = directory();
    let mut receiver = Receiver::start(dir.path()).await;
    let mut config = config(&state);
    receiver.add_to(&mut config);
    let server = Server::start(config).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let plain = agent.posture(&[("/srv", Verdict::Unencrypted)]);
    stream.report(report(1, plain.clone())).await.unwrap();
    let volume = receiver.next().await.payload;
    assert_eq!(volume.check, "volume_encrypted");

    drop(stream);
    // Past the grace of the start first, and then past what a host may be silent for.
    for _ in 0..2 {
        server.clock.advance(Duration::from_mins(6));
    }
    let silent = receiver.next().await.payload;
    assert_eq!((&*silent.check, silent.state), ("node_silent", AlertState::Firing));
    assert_eq!(server.operator().await.status().await.firing_alerts, 2);

    // Heard of again, as it was before: the silence is over, and nothing else is told.
    let mut stream = server.attach(&agent).await;
    stream.report(report(2, plain)).await.unwrap();
    let heard = receiver.next().await.payload;
    assert_eq!((&heard.alert_id, heard.state), (&silent.alert_id, AlertState::Resolved));
    stream.report(report(3, agent.posture(&[("/srv", Verdict::Encrypted)]))).await.unwrap();
    let fixed = receiver.next().await.payload;
    assert_eq!((&fixed.alert_id, fixed.state), (&volume.alert_id, AlertState::Resolved));
    server.stop().await;
}

#[tokio::test]
async fn who_is_told_of_severe_ones_only_is_told_when_one_becomes_severe() {
    let (dir, state) = directory();
    let (mut everything, other) = (Receiver::start(dir.path()).await, directory().0);
    let mut severe = Receiver::start(other.path()).await;
    let mut config = config(&state);
    for (name, receiver) in [("everything", &everything), ("severe", &severe)] {
        config.notify.notifiers.push(webhook(name, &receiver.url, &receiver.secret_file));
    }
    let route = |min_severity, notifier: &str| Route {
        min_severity,
        checks: Vec::new(),
        clusters: Vec::new(),
        labels: Labels::new(),
        notifiers: vec![notifier.to_owned()],
    };
    config.routing.routes =
        vec![route(Severity::Info, "everything"), route(Severity::Critical, "severe")];
    let server = Server::start(config).await;
    let agent = server.agent("es-1").await;
    let mut stream = server.attach(&agent).await;
    let plain = agent.posture(&[("/srv/es", Verdict::Unencrypted)]);
    stream.report(report(1, plain.clone())).await.unwrap();
    let first = everything.next().await.payload;
    assert_eq!((first.state, &*first.severity), (AlertState::Firing, "high"));

    let mut worse = plain;
    worse.findings.iter_mut().for_each(|finding| finding.severity = Severity::Critical);
    stream.report(report(2, worse)).await.unwrap();
    let told = severe.next().await.payload;
    assert_eq!((told.state, &*told.severity), (AlertState::Firing, "critical"));
    assert_eq!(told.started_at, first.started_at);
    let over = everything.next().await.payload;
    assert_eq!((over.state, over.end), (AlertState::Resolved, Some(AlertEnd::Worsened)));
    assert_eq!((&over.alert_id, &*over.severity), (&first.alert_id, "high"));
    let again = everything.next().await.payload;
    assert_eq!((again.state, &again.alert_id), (AlertState::Firing, &told.alert_id));
    let alerts = server.operator().await.alerts(v1::AlertState::Firing).await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");

    stream.report(report(3, agent.posture(&[("/srv/es", Verdict::Encrypted)]))).await.unwrap();
    for receiver in [&mut everything, &mut severe] {
        let over = receiver.next().await.payload;
        assert_eq!((over.state, over.end), (AlertState::Resolved, Some(AlertEnd::Passed)));
        assert_eq!(over.alert_id, told.alert_id);
    }
    assert!(severe.received.try_recv().is_err(), "of the first one it was not told");
    server.stop().await;
}
