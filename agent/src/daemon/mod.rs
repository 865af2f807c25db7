//! The resident agent: scans when there is cause, reports what changed, and says for the rest that nothing did.
//!
//! One thread runs one select loop over a closed [`Event`]; scans run on a thread of their own, so that a slow one
//! never stops the heartbeats. This is the only reader of the clock in the resident path.

#![forbid(unsafe_code)]

mod changes;
mod core;
mod health;
mod link;
mod scanner;
mod watching;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use atrest_proto::model::{Host, Posture};
use atrest_proto::v1::attach_response::Message as Answer;
use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::duties::Duties;
use crate::membership::Membership;
use crate::nfs::Lending;
use crate::observer::Watcher;
use crate::supervisor;
use crate::transport::backoff::{Bounds, Chance};
use crate::transport::client::Link;
use crate::transport::failure::Failure;
use crate::transport::files::{self, Lock};
use crate::transport::spool::{Limits, Spool, SpoolError};
use crate::transport::{StateDir, tls};
pub use changes::Pacing;

/// Why the daemon does not run.
#[derive(Debug, Error)]
pub enum DaemonError {
    #[error("another atrest-agent runs with the state directory {}", path.display())]
    AlreadyRunning { path: PathBuf },
    #[error("the state directory {} cannot be used", path.display())]
    StateDir { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Spool(SpoolError),
    #[error("the runtime cannot be started")]
    Runtime { source: io::Error },
    #[error("the scanning thread has ended")]
    ScannerLost,
}

/// What the daemon works with.
pub struct Options {
    pub state: StateDir,
    /// Who this is, for the hello.
    pub host: Host,
    /// What the checks demand, in a word for people: `status` shows it.
    pub policy: String,
    pub spool: Limits,
    pub timing: Timing,
    /// What is shared out among agents; the scan knows it too.
    pub duties: Duties,
    /// What machines have of each other; the scan knows it too.
    pub lending: Lending,
    /// Which clusters this machine's nodes are in; the scan knows it too.
    pub membership: Membership,
    /// What tells of changes; the scan says what it is to watch. Without it only intervals and commands lead to scans.
    pub watch: Option<Watcher>,
    pub now: fn() -> Timestamp,
    pub chance: Chance,
}

impl Options {
    /// With the defaults for everything else.
    pub fn new(state: StateDir, host: Host) -> Self {
        Self {
            state,
            host,
            policy: "built-in defaults".to_owned(),
            spool: Limits::default(),
            timing: Timing::default(),
            duties: Duties::default(),
            lending: Lending::default(),
            membership: Membership::default(),
            watch: None,
            now,
            chance: Box::new(tls::chance),
        }
    }
}

/// How long things take. The defaults are for production.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Between full scans, give or take a tenth.
    pub scan_interval: Duration,
    /// How soon and how often changes lead to scans.
    pub changes: Pacing,
    /// Waits before starting a watch again that has ended.
    pub watch_again: Bounds,
    /// The half that looks may be away for so long, as while it is started anew, before what it saw last counts no more.
    pub unseen: Duration,
    /// Waits before connecting again.
    pub reconnect: Bounds,
    /// The server says how often to send a heartbeat, but not more often than this.
    pub least_heartbeat: Duration,
    /// A server that owes an answer for so long is given up.
    pub answer: Duration,
    /// How often to see, while not connected, whether the host was enrolled meanwhile.
    pub identity_check: Duration,
    /// How often to try again to write what the disk did not take.
    pub disk_retry: Duration,
    /// `status.json` is written no more often.
    pub status_write: Duration,
    /// How long to wait, when stopping, for the answers that are still open.
    pub farewell: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            scan_interval: Duration::from_hours(1),
            changes: Pacing::default(),
            watch_again: Bounds { first: Duration::from_secs(1), most: Duration::from_mins(1) },
            unseen: Duration::from_mins(1),
            reconnect: Bounds::default(),
            least_heartbeat: Duration::from_secs(1),
            answer: Duration::from_mins(1),
            identity_check: Duration::from_secs(2),
            disk_retry: Duration::from_secs(30),
            status_write: Duration::from_secs(1),
            farewell: Duration::from_secs(2),
        }
    }
}

/// Why the host is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Start,
    /// The safety net.
    Interval,
    /// Somebody asked, as by SIGHUP.
    Asked,
    /// Something changed that a finding may depend on.
    Changed,
}

/// What the daemon can be told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Scan(Cause),
    /// Stop in good order: what is not sent stays in the spool.
    Stop,
}

/// Everything that can happen.
enum Event {
    ScanDue(Cause),
    Scanned(Option<Box<Posture>>),
    ScannerLost,
    /// Something that is watched changed.
    Noticed,
    WatchEnded,
    WatchDue,
    ConnectDue,
    Connected(Result<Box<Link>, Failure>),
    Said(Result<Answer, Failure>),
    HeartbeatDue,
    AnswerOverdue,
    IdentityCheckDue,
    DiskRetryDue,
    StatusDue,
    Stop,
}

/// Runs until it is told to stop. Everybody who could tell it so being gone counts as that.
///
/// A scan that makes no posture leaves the last one as it is.
pub async fn run<S: Into<Option<Posture>>>(
    options: Options,
    scan: impl FnMut() -> S + Send + 'static,
    commands: mpsc::Receiver<Command>,
) -> Result<(), DaemonError> {
    let state = options.state.clone();
    let unusable = |source| DaemonError::StateDir { path: state.path().to_owned(), source };
    files::ensure_private_dir(state.path()).map_err(unusable)?;
    let lock = Lock::try_take(&state.daemon_lock()).map_err(unusable)?;
    let Some(_running) = lock else {
        return Err(DaemonError::AlreadyRunning { path: state.path().to_owned() });
    };
    let spool = Spool::open(state.spool(), options.spool).map_err(DaemonError::Spool)?;
    let scanner = scanner::start(scan).map_err(|source| DaemonError::Runtime { source })?;
    supervisor::ready();
    core::Daemon::new(options, spool, scanner, commands).run().await
}

/// The whole life of the resident process: runtime, signals, [`run`].
///
/// SIGHUP scans now; SIGTERM and SIGINT stop.
pub fn main<S: Into<Option<Posture>>>(
    options: Options,
    scan: impl FnMut() -> S + Send + 'static,
) -> Result<(), DaemonError> {
    let runtime = runtime().map_err(|source| DaemonError::Runtime { source })?;
    runtime.block_on(async {
        let (tell, commands) = mpsc::channel(8);
        let signals = signals(tell).map_err(|source| DaemonError::Runtime { source })?;
        let signals = tokio::spawn(signals);
        let alive = tokio::spawn(supervisor::stay_alive());
        let ended = run(options, scan, commands).await;
        signals.abort();
        alive.abort();
        ended
    })
}

/// One thread: all that happens is waiting, and a thread per core would cost memory for nothing.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn signals(tell: mpsc::Sender<Command>) -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        loop {
            let command = tokio::select! {
                _ = hangup.recv() => Command::Scan(Cause::Asked),
                _ = terminate.recv() => Command::Stop,
                _ = interrupt.recv() => Command::Stop,
            };
            if command == Command::Stop {
                supervisor::stopping();
            }
            if tell.send(command).await.is_err() {
                return;
            }
        }
    })
}

#[expect(clippy::disallowed_methods, reason = "this is the shell that reads the clock")]
fn now() -> Timestamp {
    Timestamp::now()
}
