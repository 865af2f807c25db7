//! The VM tier: every scenario on a real kernel, the agent's verdict against the truth on the disks
//! and against the naive rule of other tools.
//!
//! `cargo test -p atrest-tests --test vm -- [WORD…]` runs the scenarios whose name holds a word.
//! A run of all of them leaves its table in `target/vm/table.md`; `tests/vm/TABLE.md` is a copy of one.
//! `ATREST_VM_VERBOSE=1` shows what the guest printed; `ATREST_AGENT` names another agent.

mod detect;
mod record;
mod report;
mod run;
mod scenarios;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use atrest_tests::vm::scenario::Scenario;
use atrest_tests::vm::{self, Tier, table};

use report::Report;

/// The table in the repository.
const PUBLISHED: &str = include_str!("TABLE.md");

fn main() -> ExitCode {
    match tier() {
        Ok(code) => code,
        Err(error) => {
            report::say(&format!("vm: FAILED: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn tier() -> Result<ExitCode> {
    let started = Instant::now();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` passes options that are meant for its own harness.
    let (options, words): (Vec<_>, Vec<_>) =
        arguments.into_iter().partition(|argument| argument.starts_with('-'));
    let chosen = scenarios::matching(&words)?;
    let detections = detect::matching(&words);
    let count = chosen.len() + detections.len();
    anyhow::ensure!(count > 0, "no scenario has {} in its name", words.join(" or "));
    if options.iter().any(|option| option == "--list") {
        for scenario in &chosen {
            report::say(&format!("{}: test", scenario.name));
        }
        for case in &detections {
            report::say(&format!("{}: test", case.name));
        }
        return Ok(ExitCode::SUCCESS);
    }
    // While scenarios are being written, they are chosen by words.
    let published = if words.is_empty() { check_published(&chosen) } else { ExitCode::SUCCESS };
    let tier = match Tier::prepare()? {
        Ok(tier) => tier,
        Err(unavailable) if vm::required() => return Err(unavailable.into()),
        Err(unavailable) => {
            report::say(&format!("vm: skipped: {unavailable}"));
            report::say(&format!("0 passed, 0 failed, {count} skipped"));
            return Ok(published);
        }
    };
    let agent = vm::agent();
    if agent.is_none() {
        let why = "no atrest-agent beside this test, nor in ATREST_AGENT";
        anyhow::ensure!(!vm::required(), why);
        report::say(&format!("vm: {why}: only the truth and the naive rule are measured"));
    }
    let detected = detections.is_empty() || detect::run(&tier, &detections)?;
    if chosen.is_empty() {
        return Ok(if detected { published } else { ExitCode::FAILURE });
    }
    let results = run::all(&tier, agent.as_deref(), &chosen)?;
    let report = Report::new(results, started.elapsed(), vm::required());
    report::say(&report.to_string());
    if words.is_empty() {
        let made = tier.home().join("table.md");
        std::fs::write(&made, report.table()).context("cannot keep the table")?;
        if report.is_complete() && report.table() != PUBLISHED {
            report::say(&format!("vm: tests/vm/TABLE.md is not what {} says", made.display()));
        }
    }
    Ok(if report.passed() && detected { published } else { ExitCode::FAILURE })
}

/// Whether the table in the repository is about these scenarios and their verdicts. Needs no machine.
fn check_published(scenarios: &[&'static Scenario]) -> ExitCode {
    let wrong = table::differences(PUBLISHED, scenarios);
    if wrong.is_empty() {
        return ExitCode::SUCCESS;
    }
    let wrong = wrong.join("\n    ");
    report::say(&format!(
        "vm: FAILED: tests/vm/TABLE.md is out of date; a full run makes target/vm/table.md, copy that:\n    {wrong}"
    ));
    ExitCode::FAILURE
}
