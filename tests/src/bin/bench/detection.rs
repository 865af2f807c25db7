//! From a change on this machine to the webhook: the real agent, the real server, and a receiver.
//!
//! A path that the agent looks at is a link that turns from memory to a disk and back, which takes no rights: each turn is
//! an alert that fires or is resolved. What is slow about a real mount is the mount; the VM tier has those.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use atrest_tests::fleet::{Agent, Server};

use crate::figure::Figure;
use crate::receiver::Receiver;

/// Turns that count.
const EVENTS: usize = 60;
/// Between them, so that each is one change after quiet: what follows faster is paced by the agent.
const APART: Duration = Duration::from_millis(2200);
/// An alert that takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the figure is held to, in seconds.
const TARGET: f64 = 1.0;

/// Any 32 bytes.
const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

pub(crate) fn figures(agent: &Path, server: &Path) -> anyhow::Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut times = runtime.block_on(Box::pin(measure(agent, server)))?;
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len() - 1)).copied();
    let (median, p99) = at(50).zip(at(99)).context("no times")?;
    println!(
        "event_to_webhook: {} events, median {:.0} ms, 99 of 100 within {:.0} ms",
        times.len(),
        median * 1e3,
        p99 * 1e3
    );
    Ok(vec![Figure::lower("event_to_webhook", "s", median, TARGET, 1.0)])
}

async fn measure(agent: &Path, server: &Path) -> anyhow::Result<Vec<f64>> {
    let scratch = tempfile::tempdir_in("target")?;
    let scratch = std::path::absolute(scratch.path())?;
    fs::create_dir_all(scratch.join("disk"))?;
    let memory = tempfile::tempdir_in("/dev/shm").context("no memory to point at")?;
    let secret = scratch.join("secret");
    fs::write(&secret, SECRET)?;
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
    let mut receiver = Receiver::start().await?;
    let mut more = String::new();
    write!(
        more,
        "[[notify.webhook]]\nname = \"bench\"\nurl = \"http://127.0.0.1:{}/\"\nsecret_file = \"{}\"\n",
        receiver.port,
        secret.display()
    )?;
    let server = Server::start_with(server, &scratch, &more)?;
    let token = server.operator().await?.pasteable("bench", 1).await?;

    let path = scratch.join("data");
    let turn = |to: &Path| -> anyhow::Result<()> {
        let new = scratch.join("new");
        symlink(to, &new)?;
        Ok(fs::rename(&new, &path)?)
    };
    turn(memory.path())?;
    let of_agent = scratch.join("agent");
    fs::create_dir(&of_agent)?;
    let _agent = Agent::start(agent, &of_agent, &token, &[&path])?;
    // The first turns tell when it is up: what it finds at its start is no change.
    let asset = path.to_string_lossy().into_owned();
    let (disk, mut times) = (scratch.join("disk"), Vec::new());
    tokio::time::sleep(APART).await;
    for event in 0..=EVENTS {
        let fires = event % 2 == 0;
        let happened = Instant::now();
        turn(if fires { &disk } else { memory.path() })?;
        let state = if fires { "\"firing\"" } else { "\"resolved\"" };
        let told = async {
            loop {
                let received = receiver.next().await?;
                if received.body.contains(&asset) && received.body.contains(state) {
                    return anyhow::Ok(received.at);
                }
            }
        };
        let told = tokio::time::timeout(PATIENCE, told).await.with_context(|| {
            format!(
                "no {state} for {asset}: is the disk of this directory encrypted, or /dev/shm not memory? {}",
                fs::read_to_string(of_agent.join("agent.log")).unwrap_or_default()
            )
        })??;
        if event > 0 {
            times.push(told.duration_since(happened).as_secs_f64());
        }
        tokio::time::sleep(APART).await;
    }
    ensure!(times.len() == EVENTS, "{} of {EVENTS} events were told", times.len());
    Ok(times)
}
