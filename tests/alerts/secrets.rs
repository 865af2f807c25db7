//! Every notifier with a secret, and receivers that say back all they were told: the server's log and what it tells
//! operators hold none of it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use atrest_proto::v1::AlertState;
use atrest_server::notify::signature::Secret;
use serde_json::Value;

use crate::agent::Agent;
use crate::certificates;
use crate::mail::Sink;
use crate::receiver::{Receiver, Reply};
use crate::scene::{DEADLINE, Operator, Scene};

/// The server as a process, and all that it said.
struct Server {
    child: Child,
    ports: Option<(u16, u16)>,
    said: Arc<Mutex<String>>,
}

impl Server {
    fn start(scene: &Scene, config: &str) -> anyhow::Result<Self> {
        let config = scene.file("server.toml", config)?;
        let here = std::env::current_exe()?;
        let program = here
            .parent()
            .and_then(std::path::Path::parent)
            .context("a directory")?
            .join("atrest-server");
        let mut child = Command::new(&program)
            .args(["serve", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{}: build the server first", program.display()))?;
        let mut lines = BufReader::new(child.stderr.take().context("stderr is piped")?).lines();
        let said = Arc::new(Mutex::new(String::new()));
        let mut server = Self { child, ports: None, said: Arc::clone(&said) };
        let keep = move |line: &str| {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_str(line);
            said.push('\n');
        };
        while server.ports.is_none() {
            let line = lines.next().context("the server ended")??;
            keep(&line);
            let line: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
            let port = |name: &str| {
                let address = line["fields"][name].as_str()?;
                address.rsplit_once(':')?.1.parse().ok()
            };
            if line["fields"]["message"] == "serving" {
                server.ports = port("agents").zip(port("operators"));
            }
        }
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| keep(&line)));
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn nowhere(scene: &mut Scene) -> anyhow::Result<()> {
    let receiver = Receiver::start(|request| {
        let said = format!("{} {:?} {}", request.path, request.headers, request.body);
        Reply::Says("500 Internal Server Error", Vec::new(), said)
    })?;
    let certificates = certificates::make(scene, "smtp")?;
    // It knows another password.
    let sink = Sink::start("starttls", &certificates, ("atrest", "another"))?;
    let webhook = Secret::generate();
    let secrets = [
        ("webhook.secret", webhook.as_str()),
        ("am.password", "am-password-hunter2"),
        ("slack.url", &receiver.url("/services/slack-token-hunter2")),
        ("pagerduty.key", "pagerduty-key-hunter2"),
        ("es.key", "es-id:es-key-hunter2"),
        ("bearer.token", "bearer-token-hunter2"),
        ("smtp.password", "smtp-password-hunter2"),
    ];
    for (name, secret) in secrets {
        scene.file(name, secret)?;
    }
    let file = |name: &str| scene.directory().join(name).display().to_string();
    let url = receiver.url("");
    let notify = format!(
        "[[notify.webhook]]\nname = \"a\"\nurl = \"{url}/hook-hunter2\"\nsecret_file = \"{}\"\n\
         [[notify.alertmanager]]\nname = \"b\"\nurls = [\"{url}\"]\nusername = \"me\"\npassword_file = \"{}\"\n\
         [[notify.alertmanager]]\nname = \"c\"\nurls = [\"{url}\"]\nbearer_token_file = \"{}\"\n\
         [[notify.slack]]\nname = \"d\"\nurl_file = \"{}\"\n\
         [[notify.pagerduty]]\nname = \"e\"\nurl = \"{url}\"\nrouting_key_file = \"{}\"\n\
         [[notify.elasticsearch]]\nname = \"f\"\nurls = [\"{url}\"]\nindex = \"x\"\napi_key_file = \"{}\"\n\
         [[notify.email]]\nname = \"g\"\nhost = \"localhost\"\nport = {}\nfrom = \"a@example.com\"\n\
         to = [\"b@example.com\"]\nusername = \"atrest\"\npassword_file = \"{}\"\nca_file = \"{}\"\n",
        file("webhook.secret"),
        file("am.password"),
        file("bearer.token"),
        file("slack.url"),
        file("pagerduty.key"),
        file("es.key"),
        sink.port,
        file("smtp.password"),
        certificates.authority.display(),
    );
    let server = Server::start(scene, &scene.config(&notify))?;
    let (_, operators) = server.ports.context("ports")?;
    let state = scene.directory().join("server");
    let authority = std::fs::read_to_string(state.join("ca.pem"))?;
    let admin = std::fs::read_to_string(state.join("admin.token"))?;
    let agent_state = scene.directory().join("agent");
    let told = scene.runtime.block_on(async {
        let operator = Operator::connect(operators, &authority, &admin).await?;
        let agent = Agent::start(&agent_state, &operator.token().await?).await?;
        let start = Instant::now();
        loop {
            let told = operator.deliveries(AlertState::Firing).await?;
            if told.len() == 7 && told.iter().all(|one| !one.last_error.is_empty()) {
                agent.stop().await;
                return anyhow::Ok(told);
            }
            ensure!(start.elapsed() < DEADLINE, "not all were tried: {told:?}");
            tokio::task::yield_now().await;
        }
    })?;
    let said = server.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(said.contains("was not taken"), "the log tells of failures");
    let errors: String = told.iter().map(|one| format!("{}\n", one.last_error)).collect();
    ensure!(errors.contains("500") && errors.contains("535"), "they said what they had: {errors}");
    let raw = webhook.as_str().trim_start_matches("whsec_");
    // base64 of "me:am-password-hunter2", of "es-id:es-key-hunter2", and of the mail's login.
    let encoded = [
        "bWU6YW0tcGFzc3dvcmQtaHVudGVyMg==",
        "ZXMtaWQ6ZXMta2V5LWh1bnRlcjI=",
        "AGF0cmVzdABzbXRwLXBhc3N3b3JkLWh1bnRlcjI=",
        "c210cC1wYXNzd29yZC1odW50ZXIy",
    ];
    for (what, text) in [("the log", &said), ("an error", &errors)] {
        for secret in [raw, "hunter2"].into_iter().chain(encoded) {
            let line = text.lines().find(|line| line.contains(secret));
            ensure!(line.is_none(), "{secret:?} is in {what}: {line:?}");
        }
    }
    Ok(())
}
