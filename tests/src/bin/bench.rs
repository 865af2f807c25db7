//! `make bench`: the product's figures beside their floors, each pair measured in one run.
//!
//! A floor is what a bare program of the same job costs on this machine, now. Ratios are what counts; absolute
//! figures drift from machine to machine. Writes `target/bench.json`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark times other programs and prints a table"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use atrest_tests::synthetic::{self, Size};
use serde::Serialize;

/// Counted runs of each command; the median is quoted.
const RUNS: usize = 7;

/// What has a target and no figure yet.
const NOT_YET: [&str; 7] = [
    "durable ingest",
    "heartbeats",
    "memory of an idle connection",
    "handshakes after a restart",
    "the idle agent",
    "from mount to webhook",
    "fleet summary",
];

#[derive(Serialize)]
struct Figure {
    name: &'static str,
    unit: &'static str,
    ours: f64,
    floor: f64,
    ratio: f64,
    target: f64,
    better: &'static str,
}

impl Figure {
    fn lower(name: &'static str, unit: &'static str, ours: f64, floor: f64, target: f64) -> Self {
        Self { name, unit, ours, floor, ratio: ours / floor, target, better: "lower" }
    }

    fn holds(&self) -> bool {
        if self.better == "lower" { self.ratio <= self.target } else { self.ratio >= self.target }
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|first| first == ONCE) {
        return once(arguments);
    }
    let agent = agent_binary()?;
    let mut figures = Vec::new();
    let scratch = tempfile::tempdir()?;

    let thousand = scratch.path().join("thousand");
    std::fs::create_dir(&thousand)?;
    synthetic::write(&thousand, Size { devices: 1000, mounts: 10_000 })?;
    // lsblk looks every mount up for every device, which takes minutes here: it gets the devices alone. That favours it.
    let devices = scratch.path().join("devices");
    std::fs::create_dir(&devices)?;
    synthetic::write_devices_of(&thousand, &devices)?;
    let (lsblk, findmnt) = (lsblk(&devices), findmnt(&thousand));
    same_work(&lsblk, "\"kname\":", 1000)?;
    same_work(&findmnt, "\"target\":", 10_000)?;
    same_work(&check(&agent, &thousand), "\"technology\": \"dm-crypt\"", 500)?;
    let (check_all, scan_all) = (check(&agent, &thousand), scan(&agent, &thousand));
    let (checked, scanned) = (measure(&check_all)?, measure(&scan_all)?);
    let ours = Measured {
        seconds: checked.seconds.max(scanned.seconds),
        peak_mib: checked.peak_mib.max(scanned.peak_mib),
    };
    let lsblk = measure(&lsblk)?;
    let findmnt = measure(&findmnt)?;
    let floor = lsblk.seconds + findmnt.seconds;
    figures.push(Figure::lower("scan_1000", "s", ours.seconds, floor, 0.25));
    let floor = lsblk.peak_mib.max(findmnt.peak_mib);
    figures.push(Figure::lower("scan_memory", "MiB", ours.peak_mib, floor, 1.0));

    // The cost of one device more, at two sizes: linear when it is the same.
    let mut per_device = Vec::new();
    for devices in [100, 1000, 10_000] {
        let root = scratch.path().join(format!("linear-{devices}"));
        std::fs::create_dir(&root)?;
        synthetic::write(&root, Size { devices, mounts: devices })?;
        per_device.push((devices, measure(&check(&agent, &root))?.seconds));
    }
    if let [(a, small), (b, middle), (c, large)] = per_device[..] {
        let slope = |from: usize, to: usize, seconds: f64| {
            seconds * 1e6 / f64::from(u32::try_from(to - from).unwrap_or(u32::MAX))
        };
        let ours = slope(b, c, large - middle);
        let floor = slope(a, b, middle - small);
        figures.push(Figure::lower("scan_linear", "us/device", ours, floor, 1.5));
    }

    let mut check = Command::new(&agent);
    check.args(["check", "--format", "json", "/"]);
    let ours = measure(&check)?;
    let mut status = Command::new("cryptsetup");
    status.args(["status", "no-such-device"]);
    let floor = measure(&status).context("cryptsetup: install cryptsetup-bin")?;
    figures.push(Figure::lower("check_one", "ms", ours.seconds * 1e3, floor.seconds * 1e3, 1.0));

    println!("{:<24} {:>10} {:>10} {:>7} {:>7}", "figure", "ours", "floor", "ratio", "target");
    for figure in &figures {
        println!(
            "{:<24} {:>10.3} {:>10.3} {:>7.2} {:>7.2} {} {}",
            figure.name,
            figure.ours,
            figure.floor,
            figure.ratio,
            figure.target,
            figure.unit,
            if figure.holds() { "" } else { " MISSED" }
        );
    }
    println!("not measured yet: {}", NOT_YET.join(", "));
    std::fs::write("target/bench.json", serde_json::to_vec_pretty(&figures)?)?;
    println!("written to target/bench.json");
    Ok(())
}

/// The release build of the agent, made now when it is not there.
fn agent_binary() -> anyhow::Result<PathBuf> {
    let built = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--locked", "-p", "atrest-agent"])
        .status()?;
    ensure!(built.success(), "the agent did not build");
    Ok(PathBuf::from("target/release/atrest-agent"))
}

/// The verdict on everything: all devices and all mounts are below `/`.
fn check(agent: &Path, root: &Path) -> Command {
    let mut command = Command::new(agent);
    command.args(["check", "--format", "json", "--root"]).arg(root).arg("/");
    command
}

fn scan(agent: &Path, root: &Path) -> Command {
    let mut command = Command::new(agent);
    command.args(["scan", "--format", "json", "--root"]).arg(root);
    command
}

/// Makes sure that a command tells of as many things as there are: one that stops early would be no floor.
fn same_work(command: &Command, each: &str, expected: usize) -> anyhow::Result<()> {
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

fn lsblk(root: &Path) -> Command {
    let mut command = Command::new("lsblk");
    command.args(["--json", "-O", "--sysroot"]).arg(root);
    command
}

fn findmnt(root: &Path) -> Command {
    let mut command = Command::new("findmnt");
    command.args(["--json", "--tab-file"]).arg(root.join("proc/self/mountinfo"));
    command
}

struct Measured {
    seconds: f64,
    peak_mib: f64,
}

/// The median time and the peak memory of a command over [`RUNS`] runs after one that is not counted.
///
/// Each run has a process of its own between it and us, whose only child it is: so the kernel's account of finished
/// children is that of the one command.
fn measure(command: &Command) -> anyhow::Result<Measured> {
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
const ONCE: &str = "__once";

fn once(mut arguments: std::env::ArgsOs) -> anyhow::Result<()> {
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
