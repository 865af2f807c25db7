//! Recorded hosts: the whole agent over a recording, byte for byte.
//!
//! `tests/fixtures/hosts/NAME.host` holds a recording as text, `NAME.json` the answer of `scan`. They were recorded by
//! `atrest-agent record` on a real kernel. `ATREST_BLESS=1` writes the answers anew.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use atrest_tests::recording;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/hosts")
}

/// The agent's binary, which stands beside the directory of this test's own.
pub(crate) fn agent() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let agent = own.ancestors().nth(2).context("a target directory")?.join("atrest-agent");
    ensure!(agent.exists(), "{}: build it first: cargo build -p atrest-agent", agent.display());
    Ok(agent)
}

/// What `check` says of one path: the verdict with its proof.
fn check(root: &Path, path: &str) -> anyhow::Result<serde_json::Value> {
    let output = Command::new(agent()?)
        .args(["check", "--format", "json", "--root"])
        .arg(root)
        .arg(path)
        .output()?;
    let mut answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    Ok(answer.pointer_mut("/paths/0").context("an answer about one path")?.take())
}

/// The answer without the one thing that differs from run to run.
fn scan(root: &Path) -> anyhow::Result<String> {
    let config = root.join("agent.toml");
    let output = Command::new(agent()?)
        .args(["scan", "--format", "json", "--root"])
        .arg(root)
        .arg("--config")
        .arg(config)
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(text
        .lines()
        .map(|line| {
            if line.starts_with("  \"observed_at\"") { "  \"observed_at\": \"…\"," } else { line }
        })
        .fold(String::new(), |text, line| text + line + "\n"))
}

/// Calls `look` with the fixture of each recorded host and the directory that it was unpacked into.
pub(crate) fn each_host(
    mut look: impl FnMut(&Path, &Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut hosts = 0;
    let mut entries: Vec<PathBuf> = std::fs::read_dir(fixtures())?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    entries.sort();
    for host in entries.iter().filter(|path| path.extension().is_some_and(|found| found == "host"))
    {
        let scratch = tempfile::tempdir()?;
        recording::unpack(&std::fs::read_to_string(host)?, scratch.path())?;
        look(host, scratch.path()).with_context(|| host.display().to_string())?;
        hosts += 1;
    }
    ensure!(hosts > 0, "there are no recorded hosts");
    Ok(())
}

#[test]
fn every_recorded_host_answers_as_it_did() -> anyhow::Result<()> {
    let mut checked_paths = 0;
    each_host(|host, root| {
        let answer = scan(root)?;
        ensure!(answer == scan(root)?, "two answers for one host");
        let golden = host.with_extension("json");
        if std::env::var_os("ATREST_BLESS").is_some() {
            std::fs::write(&golden, &answer)?;
        }
        let expected = std::fs::read_to_string(&golden)
            .with_context(|| format!("{}: write it with ATREST_BLESS=1", golden.display()))?;
        ensure!(answer == expected, "the answer changed:\n{answer}");
        // `check` looks at less than `scan` does, and must come to the same.
        let scanned: serde_json::Value = serde_json::from_str(&answer)?;
        let paths = scanned["paths"].as_array().into_iter().flatten();
        for scanned in paths.filter(|path| path["use"] == "declared") {
            let path = scanned["path"].as_str().unwrap_or_default();
            let checked = check(root, path)?;
            for part in ["verdict", "reasons", "plain", "encrypted_by", "undecided", "stack"] {
                ensure!(checked[part] == scanned[part], "{part} of {path}");
            }
            let checks = |of: &serde_json::Value| {
                let findings = of["findings"].as_array().into_iter().flatten();
                findings
                    .map(|found| {
                        (found["check"].clone(), found["asset"].clone(), found["outcome"].clone())
                    })
                    .collect::<Vec<_>>()
            };
            ensure!(checks(&checked) == checks(scanned), "findings of {path}");
            checked_paths += 1;
        }
        Ok(())
    })?;
    ensure!(checked_paths > 0, "no recorded host has a declared path");
    Ok(())
}
