//! `atrestctl webhook`: a small receiver, for trying things out and for the demo.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use atrest_server::notify::signature::{ID_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER};
use atrest_server::notify::webhook::{Body, Payload};
use atrest_server::state_dir::read_secret_file;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::render::{Cell, Screen, Tone, now};

/// Older messages may have been recorded and played again.
const TOLERANCE_SECONDS: i64 = 300;

/// A new secret, as text.
pub(crate) fn secret() -> String {
    Secret::generate().to_string()
}

struct Receiver {
    secret: Secret,
    received: mpsc::Sender<Received>,
}

/// A message whose signature was right.
struct Received {
    id: String,
    body: Body,
}

pub(crate) async fn listen(
    screen: &mut Screen,
    port: u16,
    secret_file: &Path,
    count: Option<u64>,
) -> anyhow::Result<()> {
    let text = read_secret_file(secret_file)?;
    let secret = Secret::parse(&text).with_context(|| secret_file.display().to_string())?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("could not listen on {address}"))?;
    say(&format!("listening on http://{}/", listener.local_addr()?));

    let (received, mut messages) = mpsc::channel(64);
    let receiver = Arc::new(Receiver { secret, received });
    let router = Router::new().route("/", post(receive)).fallback(post(receive));
    let serving = axum::serve(listener, router.with_state(receiver)).into_future();
    tokio::pin!(serving);
    let mut left = count;
    while left != Some(0) {
        tokio::select! {
            served = &mut serving => return served.context("the receiver stopped"),
            Some(message) = messages.recv() => {
                print(screen, &message)?;
                screen.flush()?;
                left = left.map(|left| left - 1);
            }
            stop = tokio::signal::ctrl_c() => return stop.context("no signal handler"),
        }
    }
    Ok(())
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(id), Some(timestamp), Some(signature)) =
        (header(ID_HEADER), header(TIMESTAMP_HEADER), header(SIGNATURE_HEADER))
    else {
        return (StatusCode::BAD_REQUEST, "a signature header is missing");
    };
    let Ok(timestamp) = timestamp.parse::<i64>() else {
        return (StatusCode::BAD_REQUEST, "the timestamp is not a number");
    };
    let age = now().as_second().saturating_sub(timestamp);
    if age.saturating_abs() > TOLERANCE_SECONDS {
        return (StatusCode::UNAUTHORIZED, "the message is too old or from the future");
    }
    if !receiver.secret.verify(id, timestamp, &body, signature) {
        say(&format!("refused message {id}: its signature is wrong, the secrets differ"));
        return (StatusCode::UNAUTHORIZED, "the signature is wrong");
    }
    let Ok(body) = serde_json::from_slice::<Body>(&body) else {
        return (StatusCode::UNPROCESSABLE_ENTITY, "not an alert");
    };
    let message = Received { id: id.to_owned(), body };
    match receiver.received.send(message).await {
        Ok(()) => (StatusCode::NO_CONTENT, ""),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "leaving"),
    }
}

fn print(screen: &mut Screen, message: &Received) -> anyhow::Result<()> {
    let Received { id, body } = message;
    if screen.json(body)? {
        return Ok(());
    }
    for alert in body.alerts() {
        print_alert(screen, alert);
    }
    screen.row(&[Cell::new(format!("     signature valid, id {id}"), Tone::Faint)]);
    Ok(())
}

fn print_alert(screen: &mut Screen, payload: &Payload) {
    screen.row(&[
        Cell::word(payload.state.as_str()),
        Cell::word(payload.severity.as_str()),
        Cell::new(payload.host.as_str(), Tone::Heading),
        payload.check.as_str().into(),
        payload.asset.as_str().into(),
    ]);
    screen.line(&format!("     {}", payload.summary));
    if !payload.devices.is_empty() {
        screen.row(&["     plaintext on".into(), Cell::new(payload.devices.join(", "), Tone::Bad)]);
    }
    for line in payload.remedy.lines() {
        screen.line(&format!("     → {line}"));
    }
}

#[expect(clippy::print_stderr, reason = "what the receiver says beside what it received")]
fn say(text: &str) {
    eprintln!("{text}");
}
