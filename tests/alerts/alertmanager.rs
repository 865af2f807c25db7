//! Debian's Alertmanager, asked by its own `amtool`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use atrest_proto::model::Outcome;
use atrest_proto::v1::AlertState;
use atrest_tests::emulator::Missing;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::agent::{ASSET, DEVICE};
use crate::receiver::{Receiver, Reply};
use crate::scene::{DEADLINE, Scene};

/// An Alertmanager that runs; it ends with this.
struct Alertmanager {
    child: Child,
    address: String,
}

impl Alertmanager {
    /// On this address of loopback; port 0 is any.
    fn start(scene: &Scene, name: &str, address: &str) -> anyhow::Result<Self> {
        let config = scene
            .file("alertmanager.yml", "route:\n  receiver: none\nreceivers:\n- name: none\n")?;
        let storage = scene.directory().join(name);
        let mut child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", storage.display()))
            .arg(format!("--web.listen-address={address}"))
            // No gossip: each keeps what it is told.
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|_| Missing("there is no prometheus-alertmanager".to_owned()))?;
        let stderr = child.stderr.take().context("stderr is piped")?;
        let mut started = Self { child, address: String::new() };
        let mut said = BufReader::new(stderr);
        let mut heard = String::new();
        while started.address.is_empty() {
            let mut line = String::new();
            ensure!(said.read_line(&mut line)? > 0, "it ended: {heard}");
            if let Some((_, address)) = line.split_once("msg=\"Listening on\" address=") {
                address.trim().clone_into(&mut started.address);
            }
            heard.push_str(&line);
        }
        // What it writes has to go somewhere.
        std::thread::spawn(move || said.lines().map_while(Result::ok).for_each(drop));
        Ok(started)
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What `amtool alert query` shows.
    fn shows(&self) -> anyhow::Result<Vec<Value>> {
        let output = Command::new("amtool")
            .arg(format!("--alertmanager.url={}", self.url()))
            .args(["alert", "query", "--output=json"])
            .output()
            .context("amtool")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn until(&self, count: usize) -> anyhow::Result<Vec<Value>> {
        let start = Instant::now();
        loop {
            let shown = self.shows()?;
            if shown.len() == count {
                return Ok(shown);
            }
            ensure!(start.elapsed() < DEADLINE, "it shows {shown:?}");
        }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn notify(urls: &[String]) -> String {
    let urls: Vec<_> = urls.iter().map(|url| format!("\"{url}\"")).collect();
    format!(
        "[notify]\nlink = \"https://wiki.example.com/{{check}}\"\n[[notify.alertmanager]]\nname = \"am\"\n\
         urls = [{}]\nresend_every = \"10s\"\n",
        urls.join(", ")
    )
}

pub(crate) fn shows_what_fires(scene: &mut Scene) -> anyhow::Result<()> {
    let alertmanager = Alertmanager::start(scene, "am", "127.0.0.1:0")?;
    scene.start(&notify(&[alertmanager.url()]))?;
    scene.told(AlertState::Firing)?;
    let shown = alertmanager.shows()?;
    ensure!(shown.len() == 1, "{shown:?}");
    let labels = &shown[0]["labels"];
    let expected = [
        ("alertname", "AtrestCheckFailed"),
        ("check", "volume_encrypted"),
        ("severity", "high"),
        ("cluster", "prod"),
        ("host", "es-1"),
        ("asset", ASSET),
        ("path", "/var/lib/elasticsearch"),
        ("devices", DEVICE),
    ];
    for (name, value) in expected {
        ensure!(labels[name] == value, "{name}: {labels}");
    }
    ensure!(shown[0]["annotations"]["description"].is_string(), "{shown:?}");
    ensure!(shown[0]["generatorURL"] == "https://wiki.example.com/volume_encrypted", "{shown:?}");

    scene.says(Outcome::Pass)?;
    scene.told(AlertState::Resolved)?;
    let shown = alertmanager.shows()?;
    ensure!(shown.is_empty(), "{shown:?}");
    // Another episode is another alert.
    scene.says(Outcome::Fail)?;
    scene.told(AlertState::Firing)?;
    let again = alertmanager.shows()?;
    ensure!(again.len() == 1 && again[0]["labels"]["alert_id"] != labels["alert_id"], "{again:?}");
    Ok(())
}

pub(crate) fn restarted(scene: &mut Scene) -> anyhow::Result<()> {
    let first = Alertmanager::start(scene, "am", "127.0.0.1:0")?;
    // A replica that is away while something ends, and comes back with what it knew.
    let is_away = Arc::new(AtomicBool::new(false));
    let away = Arc::clone(&is_away);
    let other = Receiver::start(move |_| {
        Reply::status(if away.load(Ordering::Relaxed) {
            "503 Service Unavailable"
        } else {
            "200 OK"
        })
    })?;
    scene.start(&notify(&[first.url(), other.url("")]))?;
    scene.told(AlertState::Firing)?;
    ensure!(first.shows()?.len() == 1);
    let address = first.address.clone();
    drop(first);
    let first = Alertmanager::start(scene, "am", &address)?;
    first.until(1).context("after its restart")?;

    is_away.store(true, Ordering::Relaxed);
    scene.says(Outcome::Pass)?;
    scene.told(AlertState::Resolved).context("one replica took it")?;
    ensure!(first.shows()?.is_empty());
    is_away.store(false, Ordering::Relaxed);
    loop {
        let told = other.next().context("the end that it missed")?.json()?;
        let ends_at: Timestamp = told[0]["endsAt"].as_str().context("an end")?.parse()?;
        // The one that was refused is among them, and the one after that is taken.
        if ends_at <= Timestamp::now() {
            let again = other.next().context("the end that it missed, told again")?.json()?;
            ensure!(again[0]["labels"] == told[0]["labels"], "{again}");
            return Ok(());
        }
    }
}

pub(crate) fn clock_behind(scene: &mut Scene) -> anyhow::Result<()> {
    let theirs = (Timestamp::now() - SignedDuration::from_hours(1))
        .round(jiff::Unit::Second)
        .context("a time in seconds")?;
    let date = format!("date: {}", theirs.strftime("%a, %d %b %Y %H:%M:%S GMT"));
    let receiver =
        Receiver::start(move |_| Reply::Says("200 OK", vec![date.clone()], String::new()))?;
    scene.start(&notify(&[receiver.url("/behind/")]))?;
    let fired = receiver.next()?;
    ensure!(fired.path == "/behind/api/v2/alerts", "{}", fired.path);
    let fired = fired.json()?;
    scene.told(AlertState::Firing)?;
    scene.says(Outcome::Pass)?;
    scene.told(AlertState::Resolved)?;
    loop {
        let told = receiver.next()?.json()?;
        let time = |name: &str| -> anyhow::Result<Timestamp> {
            Ok(told[0][name].as_str().context("a time")?.parse()?)
        };
        // What fires is told again meanwhile, and the end first by our clock.
        if time("endsAt")? == theirs {
            ensure!(time("startsAt")? <= theirs, "{told}");
            ensure!(told[0]["labels"] == fired[0]["labels"], "{told}");
            return Ok(());
        }
    }
}
