//! The server under a fleet of simulated agents, beside a bare server that gets the same bytes from the same clients.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use atrest_tests::fleet::{Floor, Line, Machine, Server, Target, enrol};
use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::figure::Figure;
use crate::summary;

/// The hidden way in: serves the floor.
pub(crate) const FLOOR: &str = "__floor";

/// Streams that report at one time.
const STREAMS: u32 = 1_000;
/// Agents that stay connected and come back after a restart.
const CONNECTED: u32 = 10_000;
/// Counted rounds of each load, ours and the floor's in turns; the median is quoted.
const ROUNDS: usize = 3;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(6);
/// Handshakes that are under way at one time.
const TOGETHER: usize = 128;

/// What is measured together, and the figures that come of it.
const THROUGHPUT: [(&str, Load, f64); 2] =
    [("ingest_durable", Load::Reports, 0.5), ("heartbeat", Load::Heartbeats, 0.9)];
const MEMORY: &str = "agent_connection_memory";
const STORM: &str = "reconnect_storm";
pub(crate) const SUMMARY: &str = "fleet_summary_100k";

/// All figures, or one of them.
pub(crate) fn figures(
    server: &Path,
    only: Option<&str>,
    tell: &mut dyn FnMut(Vec<Figure>),
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    let names = THROUGHPUT.iter().map(|(name, ..)| *name).chain([MEMORY, STORM, SUMMARY]);
    ensure!(names.into_iter().any(wanted), "`fleet` has no figure {only:?}");
    let loads: Vec<_> = THROUGHPUT.into_iter().filter(|(name, ..)| wanted(name)).collect();
    if !loads.is_empty() {
        tell(runtime.block_on(Box::pin(throughput(server, &loads)))?);
    }
    if wanted(MEMORY) || wanted(STORM) {
        let mut both = runtime.block_on(Box::pin(connections(server)))?;
        both.retain(|figure| wanted(figure.name));
        tell(both);
    }
    if wanted(SUMMARY) {
        tell(vec![runtime.block_on(Box::pin(summary::figure(server)))?]);
    }
    Ok(())
}

/// Ours and the floor, each with a directory of its own.
struct Pair {
    server: Server,
    floor: Floor,
    // Gone with the pair.
    _directories: [tempfile::TempDir; 2],
}

impl Pair {
    fn start(program: &Path) -> anyhow::Result<Self> {
        // Not where temporary files are memory: what is acknowledged has to be on a disk.
        let directories = [tempfile::tempdir_in("target")?, tempfile::tempdir_in("target")?];
        let [ours, bare] = &directories;
        let server = Server::start(program, &std::path::absolute(ours.path())?)?;
        let itself = std::env::current_exe()?;
        let floor = Floor::start(&itself, FLOOR, bare.path(), &server.authority()?)?;
        Ok(Self { server, floor, _directories: directories })
    }
}

#[derive(Debug, Clone, Copy)]
enum Load {
    Reports,
    Heartbeats,
}

async fn throughput(
    program: &Path,
    loads: &[(&'static str, Load, f64)],
) -> anyhow::Result<Vec<Figure>> {
    let pair = Pair::start(program)?;
    let machines = enrol(&pair.server, STREAMS).await?;
    let mut ours = attach(&machines, &pair.server.target()?).await?;
    let mut bare = attach(&machines, &pair.floor.target()).await?;
    // What heartbeats speak of is held then.
    for lines in [&mut ours, &mut bare] {
        futures_util::future::try_join_all(lines.iter_mut().map(Line::report)).await?;
    }
    let mut figures = Vec::new();
    for &(name, load, target) in loads {
        let (mut of_ours, mut of_bare) = (Vec::new(), Vec::new());
        let (mut cpu_of_ours, mut cpu_of_bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let driven;
            (ours, driven) = drive(ours, load, || pair.server.cpu_seconds()).await?;
            of_ours.push(driven.rate);
            cpu_of_ours.push(driven.cpu_micros);
            let driven;
            (bare, driven) = drive(bare, load, || pair.floor.cpu_seconds()).await?;
            of_bare.push(driven.rate);
            cpu_of_bare.push(driven.cpu_micros);
        }
        // What other programs on this machine disturb less than rates.
        println!(
            "{name}: {:.1} µs of the server's processor time each, {:.1} µs at the floor",
            median(cpu_of_ours),
            median(cpu_of_bare)
        );
        figures.push(Figure::higher(name, "1/s", median(of_ours), median(of_bare), target));
    }
    let sequences: u64 = ours.iter().map(|line| line.sequence).sum();
    let nodes = pair.server.operator().await?.nodes().await?;
    let stored: u64 = nodes.iter().map(|node| node.sequence).sum();
    ensure!(sequences == stored, "{sequences} reports were acknowledged, and {stored} are stored");
    Ok(figures)
}

async fn attach(machines: &[Machine], target: &Target) -> anyhow::Result<Vec<Line>> {
    futures_util::stream::iter(machines)
        .map(|machine| machine.attach(target))
        .buffer_unordered(TOGETHER)
        .try_collect()
        .await
}

/// What a load came to.
struct Driven {
    /// Acknowledged a second.
    rate: f64,
    /// The server's processor time for each, in microseconds.
    cpu_micros: f64,
}

/// Every line says the next thing as soon as the last one is acknowledged.
async fn drive(
    lines: Vec<Line>,
    load: Load,
    cpu_seconds: impl Fn() -> anyhow::Result<f64>,
) -> anyhow::Result<(Vec<Line>, Driven)> {
    let count = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = lines
        .into_iter()
        .map(|mut line| {
            let (count, stop) = (Arc::clone(&count), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match load {
                        Load::Reports => drop(line.report().await?),
                        Load::Heartbeats => line.heartbeat().await?,
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(line)
            })
        })
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let (started, before) = (Instant::now(), count.load(Ordering::Relaxed));
    let cpu_before = cpu_seconds()?;
    tokio::time::sleep(MEASURED).await;
    let (taken, after) = (started.elapsed(), count.load(Ordering::Relaxed));
    let cpu = cpu_seconds()? - cpu_before;
    stop.store(true, Ordering::Relaxed);
    let mut lines = Vec::new();
    for task in tasks {
        lines.push(task.await??);
    }
    let done = number(after - before);
    Ok((lines, Driven { rate: done / taken.as_secs_f64(), cpu_micros: cpu * 1e6 / done }))
}

/// What a connected agent costs the server in memory, and how fast a fleet is back after a restart.
async fn connections(program: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut pair = Pair::start(program)?;
    let empty = pair.server.memory()?.resident_kib;
    let empty_floor = pair.floor.memory()?.resident_kib;
    let machines = enrol(&pair.server, CONNECTED).await?;
    // All state included: each has reported once.
    let mut ours = attach(&machines, &pair.server.target()?).await?;
    let reporting = ours.iter_mut().map(Line::report);
    futures_util::future::try_join_all(reporting).await?;
    let agents = number(u64::from(CONNECTED));
    let each = |now: u64, before: u64| number(now.saturating_sub(before)) / agents;
    let of_ours = each(pair.server.memory()?.resident_kib, empty);
    // One after the other: both together are more open files than a process may have.
    drop(ours);
    let bare = attach(&machines, &pair.floor.target()).await?;
    let of_bare = each(pair.floor.memory()?.resident_kib, empty_floor);
    let memory = Figure::lower(MEMORY, "KiB", of_ours, of_bare, 1.25);

    drop(bare);
    let started = Instant::now();
    pair.floor.kill_and_restart()?;
    let bare = attach(&machines, &pair.floor.target()).await?;
    let of_bare = started.elapsed();
    ensure!(bare.len() == machines.len(), "all are back at the floor");
    drop(bare);
    let started = Instant::now();
    pair.server.kill_and_restart()?;
    let ours = attach(&machines, &pair.server.target()?).await?;
    let of_ours = started.elapsed();
    let status = pair.server.operator().await?.status().await?;
    ensure!(status.connected == u64::from(CONNECTED), "connected: {}", status.connected);
    drop(ours);
    println!(
        "reconnect_storm: {CONNECTED} agents, at most {:.0} MiB in the server",
        number(pair.server.memory()?.peak_kib) / 1024.0
    );
    let storm = Figure::lower(STORM, "s", of_ours.as_secs_f64(), of_bare.as_secs_f64(), 2.0);
    Ok(vec![memory, storm])
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_precision_loss, reason = "counts that are far below 2^52")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}
