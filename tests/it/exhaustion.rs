//! A host that runs out of descriptors or memory: less may be known then, and nothing may pass that does not.

#![expect(clippy::indexing_slicing, reason = "a value that JSON does not have is null")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::golden::{agent, each_host};

/// Soft limits, as `ulimit` takes them: from where nothing starts to where nothing is short.
fn limits() -> impl Iterator<Item = (char, u32)> {
    // KiB of address space: threads do not start, then allocations fail.
    let memory = [40_000, 60_000, 80_000, 100_000, 150_000].map(|limit| ('v', limit));
    (3..24).map(|limit| ('n', limit)).chain(memory)
}

/// What a scan says passes, by kind and name; `None` when it gave no answer.
type Passes = Option<BTreeMap<String, String>>;

fn scan(root: &Path, limit: Option<(char, u32)>) -> anyhow::Result<(Option<i32>, Passes)> {
    let limit =
        limit.map_or_else(String::new, |(kind, limit)| format!("ulimit -S{kind} {limit}; "));
    let output = Command::new("/bin/sh")
        .args(["-c", &format!("{limit}exec \"$@\""), "sh"])
        .arg(agent()?)
        .args(["scan", "--format", "json", "--root"])
        .arg(root)
        .arg("--config")
        .arg(root.join("agent.toml"))
        .output()?;
    let code = output.status.code();
    if !matches!(code, Some(0 | 1 | 3)) {
        ensure!(output.stdout.is_empty(), "half an answer with {code:?}");
        return Ok((code, None));
    }
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let list = |of: &str| answer[of].as_array().cloned().unwrap_or_default();
    let paths = list("paths")
        .into_iter()
        .map(|path| (format!("{} of {}", path["use"], path["path"]), path["verdict"].to_string()));
    let findings = list("findings").into_iter().map(|finding| {
        (format!("{} of {}", finding["check"], finding["asset"]), finding["outcome"].to_string())
    });
    let good = ["\"encrypted\"", "\"volatile\"", "\"pass\"", "\"not_applicable\""];
    let all = paths.chain(findings).filter(|(_, word)| good.contains(&word.as_str()));
    Ok((code, Some(all.collect())))
}

#[test]
fn with_too_few_descriptors_or_too_little_memory_nothing_passes_that_does_not() -> anyhow::Result<()>
{
    let (mut answers, mut none) = (0, 0);
    each_host(|_, root| {
        let (code, known) = scan(root, None)?;
        let known = known.context("an answer without limits")?;
        for limit in limits() {
            let (limited, found) = scan(root, Some(limit))?;
            let Some(found) = found else {
                none += 1;
                continue;
            };
            answers += 1;
            for (what, word) in &found {
                ensure!(known.get(what) == Some(word), "with {limit:?} {what} is {word}");
            }
            ensure!(limited != Some(0) || code == Some(0), "with {limit:?} all is well");
        }
        Ok(())
    })?;
    ensure!(
        answers > 0 && none > 0,
        "{answers} answers, {none} times none: limits that limit nothing"
    );
    Ok(())
}
