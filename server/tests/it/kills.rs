//! The real program, killed again and again while it tells a real receiver of findings that flip: between decision,
//! send and record. Every firing and every resolved arrives, with one id, and none overtakes another of its asset.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use atrest_proto::model::Verdict;
use atrest_proto::v1;
use atrest_server::alert::AlertState;
use atrest_server::notify::signature::{ID_HEADER, Secret};
use atrest_server::notify::webhook::{GroupPayload, Payload};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::crash::{Process, configure};
use crate::harness::{Agent, Operator, report, until, within};

const KILLS: u64 = 100;
/// Where messages are told together.
const KILLS_OF_GROUPS: u64 = 40;
/// Reports between two kills.
const REPORTS: u64 = 2;
/// Every so many messages are refused once.
const REFUSED: u64 = 25;

/// What arrived, in its order: the id, and what it tells.
#[derive(Debug)]
struct Receiver {
    log: Mutex<Vec<(String, Payload)>>,
    /// How many arrived, and how many were answered.
    arrived: watch::Sender<u64>,
    answered: watch::Sender<u64>,
    /// Whether to keep those who send waiting.
    hold: watch::Sender<bool>,
}

/// One message, or all that were told together, each with its own id.
fn messages(id: String, body: &[u8]) -> Vec<(String, Payload)> {
    if let Ok(payload) = serde_json::from_slice(body) {
        return vec![(id, payload)];
    }
    let group: GroupPayload = serde_json::from_slice(body).unwrap();
    let own = |payload: &Payload| format!("{}-{}", payload.alert_id, payload.state.as_str());
    group.alerts.into_iter().map(|payload| (own(&payload), payload)).collect()
}

async fn take(State(shared): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let id = headers.get(ID_HEADER).unwrap().to_str().unwrap().to_owned();
    let messages = messages(id, &body);
    shared.log.lock().unwrap().extend(messages);
    let mut number = 0;
    shared.arrived.send_modify(|arrived| {
        *arrived += 1;
        number = *arrived;
    });
    shared.hold.subscribe().wait_for(|hold| !*hold).await.unwrap();
    shared.answered.send_modify(|answered| *answered += 1);
    if number % REFUSED == 0 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

impl Receiver {
    async fn start() -> (Arc<Self>, String) {
        let receiver = Arc::new(Self {
            log: Mutex::default(),
            arrived: watch::Sender::new(0),
            answered: watch::Sender::new(0),
            hold: watch::Sender::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new().route("/", post(take)).with_state(Arc::clone(&receiver));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, url)
    }
}

fn add_webhook(config: &Path, dir: &Path, url: &str, group: bool) {
    use std::os::unix::fs::PermissionsExt as _;
    let secret = dir.join("webhook.secret");
    std::fs::write(&secret, Secret::generate().as_bytes()).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = std::fs::read_to_string(config).unwrap();
    let secret = secret.display();
    let hook = format!(
        "[[notify.webhook]]\nname = \"ops\"\nurl = \"{url}\"\nsecret_file = \"{secret}\"\n\
         group = {group}\n"
    );
    std::fs::write(config, text + &hook).unwrap();
}

/// What a host says in its report with this number: one asset flips with every report, one with every second.
fn verdicts(sequence: u64) -> [(&'static str, Verdict); 2] {
    let verdict = |plain| if plain { Verdict::Unencrypted } else { Verdict::Encrypted };
    [("/each", verdict(sequence % 2 == 1)), ("/second", verdict((sequence / 2) % 2 == 1))]
}

/// What people must have been told of an asset by then.
fn expected(asset: usize, sequences: u64) -> Vec<AlertState> {
    let mut told = Vec::new();
    for sequence in 1..=sequences {
        let plain = verdicts(sequence)[asset].1 == Verdict::Unencrypted;
        match (plain, told.last()) {
            (true, None | Some(AlertState::Resolved)) => told.push(AlertState::Firing),
            (false, Some(AlertState::Firing)) => told.push(AlertState::Resolved),
            (true, Some(AlertState::Firing)) | (false, None | Some(AlertState::Resolved)) => {}
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_kills_lose_no_message_and_change_no_order() {
    kill_again_and_again(KILLS, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_do_kills_where_messages_are_told_together() {
    kill_again_and_again(KILLS_OF_GROUPS, true).await;
}

async fn kill_again_and_again(kills: u64, group: bool) {
    let dir = tempfile::tempdir().unwrap();
    let (receiver, url) = Receiver::start().await;
    let (state, config) = configure(&dir);
    add_webhook(&config, dir.path(), &url, group);
    let mut server = Process::start(&config);
    let ca = std::fs::read_to_string(state.join("ca.pem")).unwrap();
    let admin = std::fs::read_to_string(state.join("admin.token")).unwrap();
    let mut operator = Operator::connect(server.operators_port, &ca, admin.trim()).await;
    let token = operator.token("prod", 1).await;
    let mut agent = Agent::new("es-1");
    agent.enroll(server.agents_port, &ca, &token.secret).await.unwrap();

    let mut sequence = 0;
    for kill in 0..kills {
        // Each time elsewhere: when a report is stored, when a message is on its way, when it was answered.
        let place = kill % 3;
        let (arrived, answered) = (*receiver.arrived.borrow(), *receiver.answered.borrow());
        receiver.hold.send_replace(place == 1);
        let mut stream = agent.attach(server.agents_port, &ca).await.unwrap();
        assert_eq!(stream.welcome.last_sequence, sequence, "what was acknowledged is stored");
        for _ in 0..REPORTS {
            sequence += 1;
            let posture = agent.posture(&verdicts(sequence));
            assert_eq!(stream.report(report(sequence, posture)).await.unwrap(), sequence);
        }
        let (mut arriving, mut answering) =
            (receiver.arrived.subscribe(), receiver.answered.subscribe());
        match place {
            1 => drop(within(arriving.wait_for(|count| *count > arrived)).await.unwrap()),
            2 => drop(within(answering.wait_for(|count| *count > answered)).await.unwrap()),
            _ => {}
        }
        server.kill();
        receiver.hold.send_replace(false);
        server = Process::start(&config);
    }

    let mut operator = Operator::connect(server.operators_port, &ca, admin.trim()).await;
    until(async || {
        let mut pending = false;
        for state in [v1::AlertState::Firing, v1::AlertState::Resolved] {
            let alerts = operator.alerts(state).await;
            let mut deliveries = alerts.iter().flat_map(|alert| &alert.deliveries);
            pending |= deliveries.any(|delivery| delivery.status != "delivered");
        }
        (!pending).then_some(())
    })
    .await;

    let log = receiver.log.lock().unwrap();
    let mut told = BTreeMap::<&str, Vec<&(String, Payload)>>::new();
    for message in log.iter() {
        let of_asset = told.entry(&message.1.path).or_default();
        // The same once more is what "at least once" means; anything else in between would be an overtaking.
        if of_asset.last().is_none_or(|last| last.0 != message.0) {
            of_asset.push(message);
        }
    }
    for (asset, path) in ["/each", "/second"].into_iter().enumerate() {
        let messages = &told[path];
        let states: Vec<_> = messages.iter().map(|(_, payload)| payload.state).collect();
        assert_eq!(states, expected(asset, sequence), "{path}");
        let ids: BTreeSet<_> = messages.iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), messages.len(), "each message has an id of its own");
        for pair in messages.chunks(2) {
            let alerts: BTreeSet<_> = pair.iter().map(|(_, payload)| &payload.alert_id).collect();
            assert_eq!(alerts.len(), 1, "an end has its beginning");
        }
    }
    let told: usize = told.values().map(Vec::len).sum();
    assert!(log.len() > told, "no kill came between a message and its record");
}
