//! Emulators of clouds, started by a test run: processes of their own on loopback.

use std::io::{BufRead as _, BufReader, PipeReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use thiserror::Error;

/// Where `tests/emulators.sh` puts them.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/emulators")
}

/// An emulator that runs; it ends with this.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    // Open for as long as it runs: what it writes has to go somewhere.
    _said: BufReader<PipeReader>,
}

/// Why an emulator cannot be had.
#[derive(Debug, Clone, Error)]
#[error("{0}")]
pub struct Missing(pub String);

impl Emulator {
    /// moto: S3, KMS and EC2 of Amazon.
    pub fn moto() -> anyhow::Result<Result<Self, Missing>> {
        let program = directory().join("python/bin/moto_server");
        if !program.exists() {
            return Ok(Err(Missing(format!("there is no moto at {}", program.display()))));
        }
        Self::start(&program, &["-H", "127.0.0.1", "-p", "0"], "Running on ").map(Ok)
    }

    /// azurite: the blob service of Azure.
    pub fn azurite() -> anyhow::Result<Result<Self, Missing>> {
        let program = directory().join("node/node_modules/.bin/azurite-blob");
        if !program.exists() {
            return Ok(Err(Missing(format!("there is no azurite at {}", program.display()))));
        }
        let arguments = [
            "--blobPort",
            "0",
            "--silent",
            "--inMemoryPersistence",
            "--skipApiVersionCheck",
            "--loose",
            "--disableTelemetry",
        ];
        Self::start(&program, &arguments, "successfully listens on ").map(Ok)
    }

    /// Starts a program, and waits until it says at the end of a line where it listens.
    #[expect(clippy::disallowed_methods, reason = "the emulator is a process of its own")]
    fn start(program: &Path, arguments: &[&str], says: &str) -> anyhow::Result<Self> {
        let (reader, writer) = std::io::pipe()?;
        let mut child = Command::new(program)
            .args(arguments)
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let mut said = BufReader::new(reader);
        let mut heard = String::new();
        loop {
            let mut line = String::new();
            if said.read_line(&mut line)? == 0 {
                drop(child.kill());
                drop(child.wait());
                anyhow::bail!("{} ended: {heard}", program.display());
            }
            if let Some((_, url)) = line.split_once(says) {
                return Ok(Self { child, url: url.trim().to_owned(), _said: said });
            }
            heard.push_str(&line);
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
