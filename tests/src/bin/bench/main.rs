//! `make bench`: the product's figures beside their floors, each pair measured in one run.
//!
//! A floor is what a bare program of the same job costs on this machine, now. Ratios are what counts; absolute
//! figures drift from machine to machine. Writes `target/bench.json`. `bench scans`, `fleet`, `detection` or `idle` measures a part,
//! and writes nothing; `bench fleet FIGURE` one of that part.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark times other programs and prints a table"
)]

mod commands;
mod detection;
mod figure;
mod fleet;
mod idle;
mod receiver;
mod scans;
mod summary;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use figure::Figure;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

fn main() -> anyhow::Result<()> {
    // Every simulated agent is a connection.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let mut arguments = std::env::args_os().skip(1);
    let part = arguments.next();
    match part.as_ref().and_then(|part| part.to_str()) {
        Some(commands::ONCE) => return commands::once(arguments),
        Some(fleet::FLOOR) => {
            let directory = PathBuf::from(arguments.next().context("a directory")?);
            let port = arguments.next().context("a port")?;
            let port = port.to_str().context("a port")?.parse()?;
            return atrest_tests::fleet::serve_floor(&directory, port);
        }
        Some(idle::BARE) => {
            let directory = PathBuf::from(arguments.next().context("a directory")?);
            let port = arguments.next().context("a port")?;
            return idle::bare(&directory, port.to_str().context("a port")?.parse()?);
        }
        Some("scans" | "fleet" | "detection" | "idle") | None => {}
        Some(other) => {
            bail!("there is no part {other:?}: scans, fleet, detection, idle, or nothing for all")
        }
    }
    let figure = arguments.next();
    let figure = figure.as_ref().and_then(|figure| figure.to_str());
    ensure!(
        figure.is_none() || part.as_ref().is_some_and(|part| part == "fleet"),
        "figures of `fleet` only are measured alone"
    );
    let wanted = |name: &str| part.as_ref().is_none_or(|part| part == name);
    let mut figures = Vec::new();
    println!("{}", Figure::TITLES);
    // As they come: all of them take minutes.
    let mut tell = |measured: Vec<Figure>| {
        for figure in &measured {
            println!("{}", figure.line());
        }
        figures.extend(measured);
    };
    if wanted("scans") {
        tell(scans::figures(&built("atrest-agent", "atrest-agent")?)?);
    }
    if wanted("fleet") {
        fleet::figures(&built("atrest-server", "atrest-server")?, figure, &mut tell)?;
    }
    if wanted("detection") || wanted("idle") {
        let agent = built("atrest-agent", "atrest-agent")?;
        let server = built("atrest-server", "atrest-server")?;
        if wanted("detection") {
            tell(detection::figures(&agent, &server)?);
        }
        if wanted("idle") {
            tell(idle::figures(&agent, &server)?);
        }
    }
    if part.is_none() {
        std::fs::write("target/bench.json", serde_json::to_vec_pretty(&figures)?)?;
        println!("written to target/bench.json");
    }
    Ok(())
}

/// A program as it is released, built now when it is not there.
fn built(package: &str, program: &str) -> anyhow::Result<PathBuf> {
    let built = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--locked", "-p", package])
        .status()?;
    ensure!(built.success(), "{package} did not build");
    Ok(PathBuf::from("target/release").join(program))
}
