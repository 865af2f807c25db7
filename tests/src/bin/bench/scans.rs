//! The agent's scans beside the tools of the system.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use atrest_tests::synthetic::{self, Size};

use crate::commands::{Measured, measure, same_work};
use crate::figure::Figure;

pub(crate) fn figures(agent: &Path) -> anyhow::Result<Vec<Figure>> {
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
    same_work(&check(agent, &thousand), "\"technology\": \"dm-crypt\"", 500)?;
    let (check_all, scan_all) = (check(agent, &thousand), scan(agent, &thousand));
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
        per_device.push((devices, measure(&check(agent, &root))?.seconds));
    }
    if let [(a, small), (b, middle), (c, large)] = per_device[..] {
        let slope = |from: usize, to: usize, seconds: f64| {
            seconds * 1e6 / f64::from(u32::try_from(to - from).unwrap_or(u32::MAX))
        };
        let ours = slope(b, c, large - middle);
        let floor = slope(a, b, middle - small);
        figures.push(Figure::lower("scan_linear", "us/device", ours, floor, 1.5));
    }

    let mut check = Command::new(agent);
    check.args(["check", "--format", "json", "/"]);
    let ours = measure(&check)?;
    let mut status = Command::new("cryptsetup");
    status.args(["status", "no-such-device"]);
    let floor = measure(&status).context("cryptsetup: install cryptsetup-bin")?;
    figures.push(Figure::lower("check_one", "ms", ours.seconds * 1e3, floor.seconds * 1e3, 1.0));
    Ok(figures)
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
