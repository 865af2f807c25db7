//! An agent in a directory of its own, whose host looks as the test says.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atrest_agent::daemon::{self, Cause, Command, DaemonError, Options, Timing};
use atrest_agent::status::{self, Saved};
use atrest_agent::transport::StateDir;
use atrest_agent::transport::backoff::Bounds;
use atrest_agent::transport::enroll::{EnrollError, Enrolled, Existing, enroll};
use atrest_agent::transport::spool::{Limits, Spool};
use atrest_agent::watch::Watch;
use atrest_proto::model::{Host, Posture};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::authority::now;
use crate::server::{HANG, Server};

/// A host's state directory, and how the host looks.
pub(crate) struct Node {
    pub(crate) state: StateDir,
    looks: Arc<Mutex<String>>,
    pub(crate) limits: Limits,
    watch: Option<Watch>,
    _dir: Option<tempfile::TempDir>,
}

/// A running agent. Dropping it stops it in no order at all, as `kill -9` does.
pub(crate) struct Agent {
    task: JoinHandle<Result<(), DaemonError>>,
    commands: mpsc::Sender<Command>,
    /// One for each time that chance was asked: once for a scan, a welcome, a failure.
    rolls: mpsc::UnboundedReceiver<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn host() -> Host {
    Host { hostname: "node".to_owned(), agent_version: "1.2.3".to_owned(), ..Host::default() }
}

pub(crate) fn posture(name: &str) -> Posture {
    Posture {
        host: Host { hostname: name.to_owned(), ..host() },
        observed_at: Timestamp::from_second(1_700_000_000).expect("a time"),
        services: Vec::new(),
        paths: Vec::new(),
        keystores: Vec::new(),
        repositories: Vec::new(),
        findings: Vec::new(),
        gaps: Vec::new(),
        catalogue_version: 1,
    }
}

fn timing() -> Timing {
    Timing {
        reconnect: Bounds { first: Duration::from_millis(5), most: Duration::from_millis(50) },
        least_heartbeat: Duration::from_millis(1),
        identity_check: Duration::from_millis(5),
        disk_retry: Duration::from_millis(5),
        status_write: Duration::from_millis(1),
        farewell: Duration::from_secs(30),
        ..Timing::default()
    }
}

impl Node {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self { state: StateDir::new(dir.path()), _dir: Some(dir), ..Self::in_dir(Path::new("/")) }
    }

    pub(crate) fn in_dir(path: &Path) -> Self {
        Self {
            state: StateDir::new(path),
            looks: Arc::new(Mutex::new("a".to_owned())),
            limits: Limits::default(),
            watch: None,
            _dir: None,
        }
    }

    /// With something that tells of changes.
    pub(crate) fn watched(watch: Watch) -> Self {
        Self { watch: Some(watch), ..Self::new() }
    }

    pub(crate) async fn enroll(&self, server: &Server) -> Result<Enrolled, EnrollError> {
        self.enroll_with(&server.token().encode(), Existing::Keep).await
    }

    pub(crate) async fn enroll_with(
        &self,
        token: &str,
        existing: Existing,
    ) -> Result<Enrolled, EnrollError> {
        enroll(&self.state, token, host(), existing, now()).await
    }

    /// The host looks different from now on.
    pub(crate) fn turn(&self, looks: &str) {
        looks.clone_into(&mut self.looks.lock().expect("looks"));
    }

    pub(crate) fn start(&self) -> Agent {
        let looks = Arc::clone(&self.looks);
        self.start_with(move || posture(&looks.lock().expect("looks")))
    }

    pub(crate) fn start_with(&self, scan: impl FnMut() -> Posture + Send + 'static) -> Agent {
        let (commands, receiver) = mpsc::channel(8);
        let (roll, rolls) = mpsc::unbounded_channel();
        let chance = Box::new(move || {
            // A test that is over does not count.
            roll.send(()).ok();
            0.5
        });
        let options = Options {
            spool: self.limits,
            timing: timing(),
            chance,
            watch: self.watch.clone().map(Into::into),
            ..Options::new(self.state.clone(), host())
        };
        let task = tokio::spawn(daemon::run(options, scan, receiver));
        Agent { task, commands, rolls }
    }

    /// What is queued, by number, with nobody running.
    pub(crate) fn queued(&self) -> Vec<u64> {
        let spool = Spool::open(self.state.spool(), self.limits).expect("a spool");
        let mut sequences = Vec::new();
        while let Some(entry) = spool.after(sequences.last().copied().unwrap_or(0)) {
            sequences.push(entry.sequence);
        }
        sequences
    }

    /// Waits until this report is on the disk.
    pub(crate) async fn spooled(&self, sequence: u64) {
        let path = self.state.spool().join(format!("{sequence:020}.report"));
        let there = async {
            while !path.exists() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(HANG, there).await.expect("it never came to the disk");
    }

    pub(crate) fn status(&self) -> Saved {
        status::gather(&self.state).expect("a status").saved.expect("it was written")
    }
}

impl Agent {
    pub(crate) async fn rescan(&self) {
        self.commands.send(Command::Scan(Cause::Asked)).await.expect("it runs");
    }

    /// Waits until chance was asked so often.
    pub(crate) async fn rolled(&mut self, times: usize) {
        for _ in 0..times {
            self.rolls.recv().await.expect("it runs");
        }
    }

    /// Stops it in good order.
    pub(crate) async fn stop(mut self) -> Result<(), DaemonError> {
        self.commands.send(Command::Stop).await.expect("it runs");
        (&mut self.task).await.expect("no panic")
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Result<(), DaemonError> {
        (&mut self.task).await.expect("no panic")
    }

    /// Ends it in the middle of whatever it does, and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.task.abort();
        (&mut self.task).await.err();
    }
}
