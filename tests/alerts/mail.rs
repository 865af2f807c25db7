//! A real mail server, of the package aiosmtpd: with STARTTLS, with TLS from the start, and without.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use anyhow::{Context as _, ensure};
use atrest_proto::model::Outcome;
use atrest_proto::v1::AlertState;
use atrest_tests::emulator::Missing;
use serde_json::Value;

use crate::certificates::{self, Certificates};
use crate::scene::{DEADLINE, Scene};

/// A mail server that runs; it ends with this.
pub(crate) struct Sink {
    child: Child,
    pub(crate) port: u64,
    mails: mpsc::Receiver<Value>,
}

impl Sink {
    pub(crate) fn start(
        mode: &str,
        certificates: &Certificates,
        login: (&str, &str),
    ) -> anyhow::Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = here.join("../target/emulators/smtp/bin/python");
        if !python.exists() {
            return Err(Missing(format!("there is no aiosmtpd at {}", python.display())).into());
        }
        let mut child = Command::new(python)
            .arg(here.join("alerts/smtp_sink.py"))
            .arg(mode)
            .args([&certificates.certificate, &certificates.key])
            .args([login.0, login.1])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
        let first = lines.next();
        let (send, mails) = mpsc::channel();
        let mut sink = Self { child, port: 0, mails };
        let first: Value = serde_json::from_str(&first.context("it ended")??)?;
        sink.port = first["port"].as_u64().context("a port")?;
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // A test that has seen enough has gone.
                drop(serde_json::from_str(&line).map(|mail| send.send(mail)));
            }
        });
        Ok(sink)
    }

    fn next(&self) -> anyhow::Result<Value> {
        self.mails.recv_timeout(DEADLINE).context("no mail came")
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn notify(port: u64, tls: &str, more: &str) -> String {
    format!(
        "[[notify.email]]\nname = \"mail\"\nhost = \"localhost\"\nport = {port}\ntls = \"{tls}\"\n\
         from = \"atrest <atrest@example.com>\"\nto = [\"ops@example.com\", \"sec@example.com\"]\n{more}"
    )
}

/// The value of a header, unfolded.
fn header(mail: &Value, name: &str) -> anyhow::Result<String> {
    let mail = mail["mail"].as_str().context("a mail")?;
    let (header, _) = mail.split_once("\r\n\r\n").context("a header")?;
    let unfolded = header.replace("\r\n ", " ");
    let found = unfolded.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    found.map(str::to_owned).with_context(|| format!("no {name} in {header}"))
}

pub(crate) fn starttls(scene: &mut Scene) -> anyhow::Result<()> {
    let certificates = certificates::make(scene, "smtp")?;
    let sink = Sink::start("starttls", &certificates, ("atrest", "correct horse"))?;
    let password = scene.file("smtp.password", "correct horse\n")?;
    let more = format!(
        "username = \"atrest\"\npassword_file = \"{}\"\nca_file = \"{}\"\n",
        password.display(),
        certificates.authority.display()
    );
    scene.start(&notify(sink.port, "starttls", &more))?;
    let fired = sink.next()?;
    ensure!(fired["tls"] == true && fired["login"] == "atrest", "{fired}");
    ensure!(fired["from"] == "atrest@example.com", "{fired}");
    ensure!(fired["to"] == serde_json::json!(["ops@example.com", "sec@example.com"]), "{fired}");
    let subject = header(&fired, "Subject")?;
    ensure!(subject.starts_with("[FIRING] high: es-1: "), "{subject}");
    ensure!(header(&fired, "Bcc").is_err(), "a host's text became a header");
    ensure!(header(&fired, "Auto-Submitted")? == "auto-generated");
    scene.told(AlertState::Firing)?;

    scene.says(Outcome::Pass)?;
    let over = sink.next()?;
    ensure!(header(&over, "Subject")?.starts_with("[RESOLVED] "), "{over}");
    ensure!(header(&over, "References")? == header(&fired, "References")?, "one thread");
    ensure!(header(&over, "Message-ID")? != header(&fired, "Message-ID")?);
    scene.told(AlertState::Resolved)
}

pub(crate) fn smtps(scene: &mut Scene) -> anyhow::Result<()> {
    let certificates = certificates::make(scene, "smtp")?;
    let sink = Sink::start("smtps", &certificates, ("", ""))?;
    let more = format!("ca_file = \"{}\"\n", certificates.authority.display());
    scene.start(&notify(sink.port, "smtps", &more))?;
    let fired = sink.next()?;
    ensure!(fired["tls"] == true, "{fired}");
    scene.told(AlertState::Firing)
}

pub(crate) fn relay(scene: &mut Scene) -> anyhow::Result<()> {
    let certificates = certificates::make(scene, "smtp")?;
    let sink = Sink::start("none", &certificates, ("", ""))?;
    scene.start(&notify(sink.port, "none", ""))?;
    let fired = sink.next()?;
    ensure!(fired["tls"] == false, "{fired}");
    scene.told(AlertState::Firing)
}

pub(crate) fn not_trusted(scene: &mut Scene) -> anyhow::Result<()> {
    let certificates = certificates::make(scene, "smtp")?;
    let others = certificates::make(scene, "others")?;
    let sink = Sink::start("starttls", &certificates, ("", ""))?;
    let more = format!("ca_file = \"{}\"\n", others.authority.display());
    scene.start(&notify(sink.port, "starttls", &more))?;
    let why = scene.refused()?;
    ensure!(why.contains("certificate"), "{why}");
    ensure!(sink.mails.try_recv().is_err(), "a mail was sent");
    Ok(())
}
