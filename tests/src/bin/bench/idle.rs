//! What an agent costs while nothing happens, beside Debian's prometheus-node-exporter that is scraped every 15 s, and beside a
//! bare client with the same stream and the same heartbeats.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use atrest_tests::fleet::{Agent, Machine, Process, Server, Target, enrol};

use crate::figure::Figure;

/// The hidden way in: is the bare client.
pub(crate) const BARE: &str = "__bare";

const EXPORTER: &str = "prometheus-node-exporter";
/// Until all of them have started and settled.
const SETTLE: Duration = Duration::from_secs(45);
/// Two heartbeats.
const WINDOW: Duration = Duration::from_mins(2);
const SCRAPE: Duration = Duration::from_secs(15);
const HEARTBEAT: Duration = Duration::from_mins(1);
const ATTACH: &str = "/atrest.v1.AgentService/Attach";

/// What one of them costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    mib: f64,
    /// Milliseconds of processor time in a minute.
    cpu: f64,
}

pub(crate) fn figures(agent: &Path, server: &Path) -> anyhow::Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let [ours, exporter, bare] = runtime.block_on(Box::pin(measure(agent, server)))?;
    for (name, cost) in [("atrest-agent", ours), (EXPORTER, exporter), ("bare client", bare)] {
        println!("idle: {name}: {:.1} MiB, {:.2} ms of processor a minute", cost.mib, cost.cpu);
    }
    // The target that is harder to meet is the figure's: when it holds, so does the other.
    let memory = [(exporter.mib, 0.5), (bare.mib, 1.5)];
    let (floor, target) = if 0.5 * exporter.mib < 1.5 * bare.mib { memory[0] } else { memory[1] };
    Ok(vec![
        Figure::lower("agent_idle_memory", "MiB", ours.mib, floor, target),
        Figure::lower("agent_idle_cpu", "ms/min", ours.cpu, exporter.cpu.min(bare.cpu), 1.0),
    ])
}

async fn measure(agent: &Path, server: &Path) -> anyhow::Result<[Cost; 3]> {
    let scratch = tempfile::tempdir_in("target")?;
    let scratch = std::path::absolute(scratch.path())?;
    std::fs::create_dir_all(&scratch)?;
    let server = Server::start(server, &scratch)?;

    let machine = enrol(&server, 1).await?.pop().context("one is enrolled")?;
    let of_bare = scratch.join("bare");
    std::fs::create_dir(&of_bare)?;
    machine.save(&of_bare)?;
    std::fs::write(of_bare.join("authority.pem"), server.authority()?)?;
    let bare = start_bare(&of_bare, server.agents_port)?;

    let (exporter, port) = start_exporter()?;
    let scrapes = tokio::spawn(async move {
        loop {
            drop(tokio::task::spawn_blocking(move || scrape(port)).await);
            tokio::time::sleep(SCRAPE).await;
        }
    });

    let of_agent = scratch.join("agent");
    std::fs::create_dir(&of_agent)?;
    let token = server.operator().await?.pasteable("bench", 1).await?;
    let agent = Agent::start(agent, &of_agent, &token, &[&scratch])?;

    tokio::time::sleep(SETTLE).await;
    let before = [agent.cpu_seconds()?, exporter.cpu_seconds()?, bare.cpu_seconds()?];
    tokio::time::sleep(WINDOW).await;
    let after = [agent.cpu_seconds()?, exporter.cpu_seconds()?, bare.cpu_seconds()?];
    let memory = [agent.memory()?, exporter.memory()?, bare.memory()?];
    scrapes.abort();
    let status = server.operator().await?.status().await?;
    ensure!(status.connected == 2, "both are connected: {}", status.connected);
    ensure!(scrape(port)? > 0, "the exporter answers");
    let cost = |at: usize| {
        let minutes = WINDOW.as_secs_f64() / 60.0;
        let used = after.get(at).zip(before.get(at)).map_or(0.0, |(after, before)| after - before);
        let kib = memory.get(at).map_or(0, |memory| memory.resident_kib);
        Cost { mib: crate::fleet::number(kib) / 1024.0, cpu: used * 1e3 / minutes }
    };
    Ok([cost(0), cost(1), cost(2)])
}

fn start_bare(directory: &Path, port: u16) -> anyhow::Result<Process> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(BARE)
        .arg(directory)
        .arg(port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let said = child.stdout.take().context("stdout is piped")?;
    let process = Process::new(child);
    let mut line = String::new();
    BufReader::new(said).read_line(&mut line)?;
    ensure!(line.trim() == "attached", "the bare client said {line:?}");
    Ok(process)
}

/// One stream, and a heartbeat a minute, with one thread.
pub(crate) fn bare(directory: &Path, port: u16) -> anyhow::Result<()> {
    let machine = Machine::load(directory)?;
    let authority = std::fs::read_to_string(directory.join("authority.pem"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut line = machine.attach(&Target { port, authority, rpc: ATTACH }).await?;
        // A server does not know a host that never reported.
        line.report().await?;
        drop(machine);
        println!("attached");
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            line.heartbeat().await?;
        }
    })
}

fn start_exporter() -> anyhow::Result<(Process, u16)> {
    // Free a moment ago; the exporter says itself when it is not any more.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let child = Command::new(exporter()?)
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok((Process::new(child), port))
}

/// The program of the system, else that of Debian's package: unpacked and not installed, which would start a service.
fn exporter() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|directory| directory.join(EXPORTER));
    let kept = std::path::absolute("target/bench/exporter")?;
    let unpacked = kept.join("root/usr/bin").join(EXPORTER);
    if let Some(found) = installed.chain([unpacked.clone()]).find(|path| path.is_file()) {
        return Ok(found);
    }
    std::fs::create_dir_all(&kept)?;
    let run = |command: &mut Command| -> anyhow::Result<()> {
        let output = command.current_dir(&kept).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    // As root, apt downloads as another user, who may not write here.
    run(Command::new("apt-get").args(["-q", "-oAPT::Sandbox::User=root", "download", EXPORTER]))
        .with_context(|| format!("{EXPORTER}: install the package of that name"))?;
    run(Command::new("sh").args(["-c", "dpkg-deb -x *.deb root && rm *.deb"]))?;
    ensure!(unpacked.is_file(), "no {EXPORTER} in its package");
    Ok(unpacked)
}

/// How many bytes it answers with.
fn scrape(port: u16) -> anyhow::Result<usize> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.len())
}
