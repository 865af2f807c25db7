//! Keeps what the agent records in a scenario: `ATREST_VM_RECORD=DIR` writes `DIR/NAME.host`.
//!
//! This is how the recorded hosts of the golden tests were made.
#![expect(clippy::disallowed_methods, reason = "tar unpacks what the guest packed")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use atrest_tests::recording;
use atrest_tests::vm::scenario::{Question, Scenario};

use crate::run::InGuest;

/// Records the guest and writes the recording, with a configuration that declares the scenario's paths.
pub(crate) fn save(guest: &mut InGuest<'_>, scenario: &Scenario, to: &Path) -> Result<()> {
    let paths = match scenario.question {
        Question::Paths(paths) | Question::Process(_, paths) => serde_json::to_string(paths)?,
        Question::Swap(_) | Question::Place(..) => "[]".to_owned(),
    };
    let archive = guest.script(&format!(
        "mkdir -p /tmp\ncat >/tmp/agent.toml <<'TOML'\npaths = {paths}\nTOML\n\
         atrest-agent --config /tmp/agent.toml record /tmp/recording >&2\n\
         cp /tmp/agent.toml /tmp/recording\ntar c -C /tmp/recording . | base64"
    ))?;
    let scratch = tempfile::tempdir()?;
    let mut tar = Command::new("sh")
        .args(["-c", "base64 -d | tar x"])
        .current_dir(scratch.path())
        .stdin(Stdio::piped())
        .spawn()?;
    tar.stdin.take().context("a pipe to tar")?.write_all(archive.as_bytes())?;
    ensure!(tar.wait()?.success(), "the archive is damaged");
    let text = format!("# Recorded in the VM scenario {}\n", scenario.name)
        + &recording::pack(scratch.path())?;
    std::fs::create_dir_all(to)?;
    std::fs::write(to.join(format!("{}.host", scenario.name)), text)?;
    Ok(())
}
