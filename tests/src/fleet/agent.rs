//! The product's agent as a process, on a state directory of its own.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::process::{Memory, Process};

/// An agent that runs.
#[derive(Debug)]
pub struct Agent {
    process: Process,
}

impl Agent {
    /// Enrols `program` with a pasteable token and starts it, to look at these paths; all of its files are below `directory`.
    #[expect(clippy::disallowed_methods, reason = "the agent is a process of its own")]
    pub fn start(
        program: &Path,
        directory: &Path,
        token: &str,
        paths: &[&Path],
    ) -> anyhow::Result<Self> {
        let config = directory.join("agent.toml");
        let state = directory.join("state");
        let text = format!("state_dir = \"{}\"\npaths = {paths:?}\n", state.display());
        std::fs::write(&config, text)?;
        let enrolled =
            Command::new(program).arg("--config").arg(&config).args(["enroll", token]).output()?;
        ensure!(enrolled.status.success(), "{}", String::from_utf8_lossy(&enrolled.stderr));
        let log = File::create(directory.join("agent.log"))?;
        let child = Command::new(program)
            .arg("--config")
            .arg(&config)
            .arg("run")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{}", program.display()))?;
        Ok(Self { process: Process::new(child) })
    }

    pub fn memory(&self) -> anyhow::Result<Memory> {
        self.process.memory()
    }

    /// The processor time that it has had, in seconds.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.process.cpu_seconds()
    }
}
