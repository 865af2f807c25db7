//! Commands, timed, with the memory that they take.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// Counted runs of each command; the median is quoted.
const RUNS: usize = 7;

/// Makes sure that a command tells of as many things as there are: one that stops early would be no floor.
pub(crate) fn same_work(command: &Command, each: &str, expected: usize) -> anyhow::Result<()> {
    let program = command.get_program();
    let output = Command::new(program)
        .args(command.get_args())
        .output()
        .with_context(|| format!("{}", program.display()))?;
    let found = String::from_utf8_lossy(&output.stdout).matches(each).count();
    ensure!(
        found == expected,
        "{} tells of {found} and not of {expected} ({each}): {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) peak_mib: f64,
}

/// The median time and the peak memory of a command over [`RUNS`] runs after one that is not counted.
///
/// Each run has a process of its own between it and us, whose only child it is: so the kernel's account of finished
/// children is that of the one command.
pub(crate) fn measure(command: &Command) -> anyhow::Result<Measured> {
    let mut times = Vec::new();
    let mut peak_kib = 0_i32;
    for run in 0..=RUNS {
        let once = Command::new(std::env::current_exe()?)
            .arg(ONCE)
            .arg(command.get_program())
            .args(command.get_args())
            .output()?;
        let text = String::from_utf8(once.stdout)?;
        ensure!(once.status.success(), "{}", String::from_utf8_lossy(&once.stderr));
        let (nanoseconds, peak) = text.trim().split_once(' ').context("two numbers")?;
        if run > 0 {
            times.push(Duration::from_nanos(nanoseconds.parse()?));
            peak_kib = peak_kib.max(peak.parse()?);
        }
    }
    times.sort_unstable();
    let median = times.get(RUNS / 2).copied().unwrap_or(Duration::ZERO);
    Ok(Measured { seconds: median.as_secs_f64(), peak_mib: f64::from(peak_kib) / 1024.0 })
}

/// The hidden way in: runs one command and prints its time in nanoseconds and its peak memory in KiB.
pub(crate) const ONCE: &str = "__once";

pub(crate) fn once(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> anyhow::Result<()> {
    let program = arguments.next().context("a program")?;
    let mut command = Command::new(&program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    // A failing exit code is an answer too: `check` of a plain disk has one.
    let _status = command.status().with_context(|| format!("{}", program.display()))?;
    let taken = started.elapsed();
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)?;
    println!("{} {}", taken.as_nanos(), usage.max_rss());
    Ok(())
}
