//! The summary of a large fleet: counted, not scanned.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use atrest_proto::model::{Host, Severity};
use atrest_server::alert::Policy;
use atrest_server::clock::Clock;
use atrest_server::enrollment::{Application, hash_secret};
use atrest_server::fleet::cluster::Patience;
use atrest_server::fleet::{HostId, outline};
use atrest_server::hub::{Hub, Incoming, Settings};
use atrest_server::store::Store;
use atrest_server::store::sqlite::Sqlite;
use atrest_tests::fleet::{Server, posture};
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use crate::figure::Figure;
use crate::fleet::{SUMMARY, median};

const HOSTS: u32 = 100_000;
const FINDINGS: usize = 12;
/// What an operator does not notice, in milliseconds.
const UNNOTICED: f64 = 10.0;
/// Counted calls after one that is not.
const CALLS: usize = 101;
/// Hosts that are written at one time: the store makes one commit of them.
const TOGETHER: usize = 1_000;

pub(crate) async fn figure(program: &Path) -> anyhow::Result<Figure> {
    let directory = tempfile::tempdir_in("target")?;
    let directory = std::path::absolute(directory.path())?;
    std::fs::create_dir_all(&directory)?;
    // The first start makes the state, and the token that all are let in with.
    let server = Server::start(program, &directory)?;
    let secret = server.operator().await?.token("load", HOSTS).await?;
    let database = server.state_dir().join("atrest.db");
    drop(server);
    fill(&database, &secret).await?;
    let server = Server::start(program, &directory)?;
    let operator = server.operator().await?;
    let status = operator.status().await?;
    ensure!(status.enrolled == u64::from(HOSTS), "{} are enrolled", status.enrolled);
    let mut taken = Vec::new();
    for _ in 0..CALLS {
        let started = Instant::now();
        operator.status().await?;
        taken.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Figure::lower(SUMMARY, "ms", median(taken), UNNOTICED, 1.0))
}

async fn fill(database: &Path, secret: &str) -> anyhow::Result<()> {
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(database)?);
    let settings = Settings {
        policy: Policy { min_severity: Severity::Critical },
        routes: Arc::default(),
        patience: Patience::default(),
        silent_after: std::time::Duration::from_hours(1),
    };
    let hub = Arc::new(Hub::open(Arc::clone(&store), settings, Clock::system()).await?);
    futures_util::stream::iter(0..HOSTS)
        .map(|number| enter(&hub, &store, secret, number))
        .buffer_unordered(TOGETHER)
        .try_collect::<()>()
        .await?;
    hub.flush().await;
    Ok(())
}

async fn enter(
    hub: &Arc<Hub>,
    store: &Arc<dyn Store>,
    secret: &str,
    number: u32,
) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let host = Host {
        hostname: format!("es-{number}"),
        machine_fingerprint: format!("machine {number}"),
        ..Host::default()
    };
    let mut key_pin = [0; 32];
    key_pin[..4].copy_from_slice(&number.to_be_bytes());
    let host_id = HostId::random();
    let application = Application {
        secret_hash: hash_secret(secret),
        host: host.clone(),
        key_pin,
        host_id: host_id.clone(),
        at: now,
    };
    hub.admit(store.host_enroll(application).await?.ok().context("let in")?);
    let posture = posture(&host, 0, FINDINGS, now);
    let wire = atrest_proto::v1::Posture::from(posture.clone());
    let digest = atrest_proto::digest::posture(&wire);
    let incoming = Incoming {
        sequence: 1,
        digest,
        outline: outline(&posture),
        posture,
        bytes: prost::Message::encode_to_vec(&wire).into(),
        place: None,
    };
    hub.report(&host_id, incoming).await?;
    Ok(())
}
