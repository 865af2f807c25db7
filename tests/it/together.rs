//! The real server and the real agent: enrolment, reports, an outage, a restart of either.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use atrest_agent::daemon::{self, Cause, Command};
use atrest_agent::transport::StateDir;
use atrest_agent::transport::enroll::{Enrolled, Existing, enroll};
use atrest_proto::model::{
    Finding, Host, Outcome, PathPosture, PlainLeg, Posture, Reason, Severity, Use, Verdict,
};
use atrest_proto::v1;
use atrest_proto::v1::fleet_service_client::FleetServiceClient;
use atrest_proto::v1::token_service_client::TokenServiceClient;
use atrest_server::config::Config;
use atrest_server::serve::{self, Running};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tonic::Request;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// Longer than anything here takes, even on a loaded machine.
const DEADLINE: Duration = Duration::from_mins(1);

fn server_config(state_dir: &Path, agents_port: u16) -> anyhow::Result<Config> {
    let text = format!(
        "state_dir = \"{}\"\n[agents]\nlisten = \"127.0.0.1:{agents_port}\"\npublic_address = \"localhost\"\n\
         heartbeat_interval = \"1s\"\n[operators]\nlisten = \"127.0.0.1:0\"\n",
        state_dir.display()
    );
    Config::parse(&text).map_err(|problems| anyhow::anyhow!("{problems:?}"))
}

struct Operator {
    channel: Channel,
    token: String,
}

impl Operator {
    async fn of(server: &Running) -> anyhow::Result<Self> {
        let authority = Certificate::from_pem(std::fs::read(server.authority_file())?);
        let tls = ClientTlsConfig::new().ca_certificate(authority).domain_name("localhost");
        let port = server.operators_addr.port();
        let channel = Endpoint::from_shared(format!("https://localhost:{port}"))?
            .tls_config(tls)?
            .connect()
            .await?;
        let token = std::fs::read_to_string(server.admin_token_file())?.trim().to_owned();
        Ok(Self { channel, token })
    }

    fn request<T>(&self, message: T) -> anyhow::Result<Request<T>> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse()?);
        Ok(request)
    }

    async fn token(&self) -> anyhow::Result<String> {
        let request = self.request(v1::CreateTokenRequest::default())?;
        let created = TokenServiceClient::new(self.channel.clone()).create_token(request).await?;
        Ok(created.into_inner().pasteable)
    }

    async fn node(&self) -> anyhow::Result<Option<v1::Node>> {
        let request = self.request(v1::ListNodesRequest::default())?;
        let nodes = FleetServiceClient::new(self.channel.clone()).list_nodes(request).await?;
        Ok(nodes.into_inner().nodes.into_iter().next())
    }

    async fn status(&self) -> anyhow::Result<v1::GetFleetStatusResponse> {
        let request = self.request(v1::GetFleetStatusRequest {})?;
        let status =
            FleetServiceClient::new(self.channel.clone()).get_fleet_status(request).await?;
        Ok(status.into_inner())
    }

    /// Asks until the one host is as expected.
    async fn until(&self, expected: impl Fn(&v1::Node) -> bool) -> anyhow::Result<v1::Node> {
        let asked = async {
            loop {
                if let Some(node) = self.node().await?
                    && expected(&node)
                {
                    return anyhow::Ok(node);
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, asked)
            .await
            .context("the host did not become as expected")?
    }
}

fn posture(verdict: Verdict) -> Posture {
    let plain = verdict == Verdict::Unencrypted;
    let reasons = if plain { vec![Reason::PlainDevice] } else { Vec::new() };
    Posture {
        host: host(),
        observed_at: Timestamp::now(),
        services: Vec::new(),
        paths: vec![PathPosture {
            asset: "data:/srv/es".to_owned(),
            path: "/srv/es".to_owned(),
            resolved: Some("/srv/es".to_owned()),
            usage: Use::Data,
            service: None,
            verdict,
            reasons: reasons.clone(),
            plain: reasons
                .iter()
                .map(|reason| PlainLeg {
                    device: "/dev/sdb".to_owned(),
                    via: Vec::new(),
                    reason: *reason,
                })
                .collect(),
            encrypted_by: Vec::new(),
            claimed_by: Vec::new(),
            undecided: Vec::new(),
            stack: Vec::new(),
            nearest: None,
        }],
        keystores: Vec::new(),
        repositories: Vec::new(),
        findings: vec![Finding {
            check: "volume_encrypted".to_owned(),
            asset: "data:/srv/es".to_owned(),
            outcome: if plain { Outcome::Fail } else { Outcome::Pass },
            severity: Severity::Critical,
            summary: format!("/srv/es is {verdict}"),
            remedy: String::new(),
            reasons,
            evidence: std::collections::BTreeMap::new(),
            affects: Vec::new(),
        }],
        gaps: Vec::new(),
        catalogue_version: 1,
    }
}

fn host() -> Host {
    Host { hostname: "node-1".to_owned(), machine_fingerprint: "aa".repeat(16), ..Host::default() }
}

/// An agent's daemon, with a scan that says what the test last set.
struct Agent {
    verdict: Arc<Mutex<Verdict>>,
    commands: mpsc::Sender<Command>,
    ended: tokio::task::JoinHandle<Result<(), daemon::DaemonError>>,
}

impl Agent {
    fn start(state: &StateDir, verdict: Verdict) -> Self {
        let verdict = Arc::new(Mutex::new(verdict));
        let seen = Arc::clone(&verdict);
        let (commands, told) = mpsc::channel(8);
        let mut options = daemon::Options::new(state.clone(), host());
        // Loopback does not need to be spared: what is measured elsewhere need not be waited for here.
        options.timing.reconnect.first = Duration::from_millis(20);
        options.timing.reconnect.most = Duration::from_millis(100);
        let scan = move || posture(*seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let ended = tokio::spawn(daemon::run(options, scan, told));
        Self { verdict, commands, ended }
    }

    async fn turns(&self, verdict: Verdict) -> anyhow::Result<()> {
        *self.verdict.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = verdict;
        self.commands.send(Command::Scan(Cause::Asked)).await.context("the daemon ended")
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.commands.send(Command::Stop).await.context("the daemon ended")?;
        Ok(tokio::time::timeout(DEADLINE, self.ended).await???)
    }
}

fn is(state: v1::NodeState, sequence: u64) -> impl Fn(&v1::Node) -> bool {
    move |node| node.state() == state && node.sequence == sequence
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_while_the_server_is_away_arrives_once_and_in_order() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let server_state = scratch.path().join("server");
    let server = serve::start(server_config(&server_state, 0)?).await?;
    let port = server.agents_addr.port();
    let operator = Operator::of(&server).await?;

    let state = StateDir::new(scratch.path().join("agent"));
    let token = operator.token().await?;
    let enrolled = enroll(&state, &token, host(), Existing::Keep, Timestamp::now()).await?;
    ensure!(matches!(enrolled, Enrolled::Now { .. }), "{enrolled:?}");
    // A used token is refused, and a second enrolment keeps the certificate.
    let again = enroll(&state, &token, host(), Existing::Keep, Timestamp::now()).await?;
    ensure!(matches!(again, Enrolled::Already { .. }), "{again:?}");

    let agent = Agent::start(&state, Verdict::Unencrypted);
    operator.until(is(v1::NodeState::Unencrypted, 1)).await?;
    let status = operator.status().await?;
    ensure!(status.enrolled == 1 && status.unencrypted == 1, "{status:?}");
    ensure!(status.firing_alerts == 1, "{status:?}");

    drop(operator);
    server.shutdown().await;
    agent.turns(Verdict::Encrypted).await?;
    agent.turns(Verdict::Partial).await?;
    // The agent goes too, and comes back: what it had to say is on its disk.
    agent.stop().await?;
    let agent = Agent::start(&state, Verdict::Encrypted);

    let server = serve::start(server_config(&server_state, port)?).await?;
    let operator = Operator::of(&server).await?;
    let node = operator.until(|node| node.state() == v1::NodeState::Encrypted).await?;
    ensure!(node.sequence >= 2, "{node:?}");
    let status = operator.status().await?;
    ensure!(status.encrypted == 1 && status.firing_alerts == 0, "{status:?}");

    agent.stop().await?;
    server.shutdown().await;
    Ok(())
}
