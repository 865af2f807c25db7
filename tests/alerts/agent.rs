//! The real agent's daemon, with a scan that says what the test last set.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use atrest_agent::daemon::{self, Cause, Command};
use atrest_agent::transport::StateDir;
use atrest_agent::transport::enroll::{Existing, enroll};
use atrest_proto::model::{Host, Outcome, Posture, Severity};
use jiff::Timestamp;
use tokio::sync::mpsc;

/// What one asset is called, and the path and device that are told of it.
pub(crate) const ASSET: &str = "data:/var/lib/elasticsearch";
pub(crate) const DEVICE: &str = "/dev/nvme0n1p2";

pub(crate) struct Agent {
    outcome: Arc<Mutex<Outcome>>,
    commands: mpsc::Sender<Command>,
}

fn host() -> Host {
    Host { hostname: "es-1".to_owned(), machine_fingerprint: "aa".repeat(16), ..Host::default() }
}

fn posture(outcome: Outcome) -> Posture {
    let mut posture = atrest_tests::fleet::posture(&host(), 0, 1, Timestamp::now());
    for finding in &mut posture.findings {
        ASSET.clone_into(&mut finding.asset);
        finding.outcome = outcome;
        finding.severity = Severity::High;
        // As a host would write it that means no good.
        "rests in plaintext <!channel> \"é\"\r\nBcc: x@example.com"
            .clone_into(&mut finding.summary);
    }
    posture
}

impl Agent {
    /// Enrols, and reports that its one asset fails.
    pub(crate) async fn start(directory: &Path, token: &str) -> anyhow::Result<Self> {
        let state = StateDir::new(directory.to_owned());
        enroll(&state, token, host(), Existing::Keep, Timestamp::now()).await?;
        let outcome = Arc::new(Mutex::new(Outcome::Fail));
        let seen = Arc::clone(&outcome);
        let (commands, told) = mpsc::channel(8);
        let scan = move || posture(*seen.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::spawn(daemon::run(daemon::Options::new(state, host()), scan, told));
        Ok(Self { outcome, commands })
    }

    pub(crate) async fn says(&self, outcome: Outcome) -> anyhow::Result<()> {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
        self.commands.send(Command::Scan(Cause::Asked)).await.context("the daemon ended")
    }

    pub(crate) async fn stop(&self) {
        // It may have ended by itself.
        self.commands.send(Command::Stop).await.ok();
    }
}
