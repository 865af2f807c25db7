//! The real server and the real agent: enrolment, reports, an outage, a restart of either.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use atrest_agent::daemon::{self, Cause, Command};
use atrest_agent::discovery::{self, Declared};
use atrest_agent::host::recorded::RecordedHost;
use atrest_agent::policy::Policy;
use atrest_agent::status;
use atrest_agent::transport::StateDir;
use atrest_agent::transport::enroll::{Enrolled, Existing, enroll};
use atrest_agent::{observe, posture};
use atrest_proto::model::{
    Finding, Host, Outcome, PathPosture, PlainLeg, Posture, Reason, Severity, Use, Verdict,
};
use atrest_proto::v1;
use atrest_proto::v1::fleet_service_client::FleetServiceClient;
use atrest_proto::v1::node_service_client::NodeServiceClient;
use atrest_proto::v1::token_service_client::TokenServiceClient;
use atrest_server::config::Config;
use atrest_server::serve::{self, Running};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tonic::Request;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// Longer than anything here takes, even on a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

pub(crate) fn server_config(state_dir: &Path, agents_port: u16) -> anyhow::Result<Config> {
    let text = format!(
        "state_dir = \"{}\"\n[agents]\nlisten = \"127.0.0.1:{agents_port}\"\npublic_address = \"localhost\"\n\
         heartbeat_interval = \"1s\"\n[operators]\nlisten = \"127.0.0.1:0\"\n",
        state_dir.display()
    );
    Config::parse(&text).map_err(|problems| anyhow::anyhow!("{problems:?}"))
}

pub(crate) struct Operator {
    pub(crate) channel: Channel,
    token: String,
}

impl Operator {
    pub(crate) async fn of(server: &Running) -> anyhow::Result<Self> {
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

    pub(crate) fn request<T>(&self, message: T) -> anyhow::Result<Request<T>> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse()?);
        Ok(request)
    }

    pub(crate) async fn token(&self) -> anyhow::Result<String> {
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
        let request = self.request(v1::GetFleetStatusRequest::default())?;
        let status =
            FleetServiceClient::new(self.channel.clone()).get_fleet_status(request).await?;
        Ok(status.into_inner())
    }

    /// Asks until the one host is as expected.
    pub(crate) async fn until(
        &self,
        expected: impl Fn(&v1::Node) -> bool,
    ) -> anyhow::Result<v1::Node> {
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

fn said(verdict: Verdict) -> Posture {
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

/// What the agent says of a host below `root`, as its own `scan` does.
fn posture_of(root: &Path) -> Posture {
    let host = RecordedHost::new(root);
    let found = discovery::discover(&host, &Declared::default());
    let snapshot = observe::observe(&host, found, Timestamp::now());
    Posture { host: self::host(), ..posture::evaluate(&snapshot, &Policy::default()) }
}

/// An agent's daemon, with a scan that says what the test last set.
struct Agent {
    verdict: Arc<Mutex<Verdict>>,
    commands: mpsc::Sender<Command>,
    ended: tokio::task::JoinHandle<Result<(), daemon::DaemonError>>,
}

impl Agent {
    fn start(state: &StateDir, verdict: Verdict) -> Self {
        Self::start_as(state, host(), verdict)
    }

    fn start_as(state: &StateDir, host: Host, verdict: Verdict) -> Self {
        let verdict = Arc::new(Mutex::new(verdict));
        let seen = Arc::clone(&verdict);
        let (commands, told) = mpsc::channel(8);
        let mut options = daemon::Options::new(state.clone(), host);
        // Loopback does not need to be spared: what is measured elsewhere need not be waited for here.
        options.timing.reconnect.first = Duration::from_millis(20);
        options.timing.reconnect.most = Duration::from_millis(100);
        let scan = move || said(*seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
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

/// Asks until the agent's own status tells of this trouble.
async fn until_trouble(state: &StateDir, kind: &str) -> anyhow::Result<String> {
    let asked = async {
        loop {
            let facts = status::gather(state)?;
            let error = facts.saved.as_ref().and_then(|saved| saved.link.error.as_ref());
            if error.is_some_and(|error| error.kind == kind) {
                return anyhow::Ok(status::text(&facts, Timestamp::now()));
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, asked).await.context("the trouble was not told")?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_an_agent_stays_out_and_a_revoked_agent_comes_back_with_a_token()
-> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let server = serve::start(server_config(&scratch.path().join("server"), 0)?).await?;
    let operator = Operator::of(&server).await?;
    let state = StateDir::new(scratch.path().join("agent"));
    enroll(&state, &operator.token().await?, host(), Existing::Keep, Timestamp::now()).await?;
    let agent = Agent::start(&state, Verdict::Unencrypted);
    let node = operator.until(is(v1::NodeState::Unencrypted, 1)).await?;

    // A clone of its disk, that got a machine id of its own.
    let copied = StateDir::new(scratch.path().join("clone"));
    std::fs::create_dir(copied.path())?;
    std::fs::copy(state.identity(), copied.identity())?;
    let other = Host {
        hostname: "clone".to_owned(),
        machine_fingerprint: "bb".repeat(16),
        ..Host::default()
    };
    let clone = Agent::start_as(&copied, other, Verdict::Encrypted);
    let told = until_trouble(&copied, "identity_clash").await?;
    ensure!(told.contains("make a new /etc/machine-id"), "{told}");
    clone.stop().await?;
    let fleet = operator.status().await?;
    ensure!(fleet.unencrypted == 1 && fleet.connected == 1, "the first keeps its place: {fleet:?}");
    ensure!(fleet.firing_alerts == 2, "one of them names both: {fleet:?}");

    let request = v1::RevokeNodeRequest { node: node.host_id.clone(), reason: String::new() };
    NodeServiceClient::new(operator.channel.clone())
        .revoke_node(operator.request(request)?)
        .await?;
    let told = until_trouble(&state, "certificate_revoked").await?;
    ensure!(told.contains("atrestctl token create --replace"), "{told}");
    let fleet = operator.status().await?;
    ensure!(fleet.enrolled == 0 && fleet.revoked == 1 && fleet.firing_alerts == 0, "{fleet:?}");

    // Without a restart of the agent.
    let request = v1::CreateTokenRequest { replaces: node.host_id, ..Default::default() };
    let token = TokenServiceClient::new(operator.channel.clone())
        .create_token(operator.request(request)?)
        .await?
        .into_inner()
        .pasteable;
    enroll(&state, &token, host(), Existing::Replace, Timestamp::now()).await?;
    operator.until(is(v1::NodeState::Unencrypted, 2)).await?;
    agent.stop().await?;
    server.shutdown().await;
    Ok(())
}

/// Planted as a password, a token and a part of a keystore.
const SECRET: &str = "hunter2-5c1d9ab0";

/// A node with secrets wherever a node has some.
fn secretive(root: &Path) -> anyhow::Result<()> {
    let id = "ab".repeat(32);
    let yaml = format!(
        "cluster.name: prod\npath.data: /srv/es\nxpack.security.http.ssl.keystore.password: {SECRET}\n\
         s3.client.default.secret_key: \"{SECRET}\"\n"
    );
    let argv = format!(
        "java\0-Des.path.conf=/etc/elasticsearch\0-Djavax.net.ssl.keyStorePassword={SECRET}\0\
         org.elasticsearch.bootstrap.Elasticsearch\0-Ebootstrap.password={SECRET}\0"
    );
    let description = format!(
        "{{\"Name\":\"/es\",\"Config\":{{\"Image\":\"elasticsearch:8\",\"Env\":[\"ELASTIC_PASSWORD={SECRET}\"]}}}}"
    );
    for (path, text) in [
        ("proc/self/mountinfo", "1 0 8:0 / / rw - ext2 /dev/sda rw\n"),
        ("proc/swaps", "Filename Type Size Used Priority\n"),
        ("proc/77/cmdline", &argv),
        ("proc/77/environ", &format!("ELASTIC_PASSWORD={SECRET}\0KEYSTORE_PASSWORD={SECRET}\0")),
        ("proc/77/status", "PPid:\t1\nUid:\t1\t1\t1\t1\nGid:\t1\t1\t1\t1\n"),
        ("etc/elasticsearch/elasticsearch.yml", &yaml),
        ("etc/elasticsearch/elasticsearch.keystore", SECRET),
        ("etc/elasticsearch/elasticsearch.keystore.tmp", SECRET),
        ("etc/elasticsearch/jvm.options", &format!("-Dx.password={SECRET}\n")),
        ("etc/default/elasticsearch", &format!("KEYSTORE_PASSWORD={SECRET}\n")),
        ("etc/kibana/kibana.yml", &format!("elasticsearch.password: {SECRET}\n")),
        ("etc/logstash/logstash.yml", &format!("api.auth.basic.password: {SECRET}\n")),
        ("etc/logstash/conf.d/a.conf", &format!("output {{ x {{ password => \"{SECRET}\" }} }}\n")),
        ("etc/filebeat/filebeat.yml", &format!("output.elasticsearch.password: {SECRET}\n")),
        (&format!("var/lib/docker/containers/{id}/config.v2.json"), &description),
        (
            "etc/systemd/system/elasticsearch.service",
            &format!("[Service]\nEnvironment=ELASTIC_PASSWORD={SECRET}\nExecStart=/x\n"),
        ),
    ] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().context("a path has a parent")?)?;
        std::fs::write(path, text)?;
    }
    Ok(())
}

/// The files below `directory` that hold the secret, raw, in hexadecimal digits or in Base64 at any offset; and how many
/// files there are.
fn leaks(directory: &Path) -> anyhow::Result<(Vec<PathBuf>, usize)> {
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut spellings = vec![SECRET.to_owned(), hex];
    for skipped in 0..3 {
        let encoded = BASE64.encode(SECRET.get(skipped..).context("the secret is longer")?);
        // The last letters depend on what follows.
        spellings.push(encoded.get(..encoded.len() - 4).context("it is longer")?.to_owned());
    }
    let (mut found, mut read, mut directories) = (Vec::new(), 0, vec![directory.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            } else if entry.file_type()?.is_file() {
                let text = String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned();
                read += 1;
                if spellings.iter().any(|spelling| text.contains(spelling)) {
                    found.push(entry.path());
                }
            }
        }
    }
    Ok((found, read))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_a_node_reaches_the_spool_or_the_database() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let root = scratch.path().join("root");
    secretive(&root)?;
    let said = posture_of(&root);
    let told: Vec<_> =
        said.findings.iter().filter(|finding| finding.check == "plaintext_secret").collect();
    ensure!(told.len() > 5, "secrets are named: {told:?}");

    let server_state = scratch.path().join("server");
    let server = serve::start(server_config(&server_state, 0)?).await?;
    let operator = Operator::of(&server).await?;
    let state = StateDir::new(scratch.path().join("agent"));
    enroll(&state, &operator.token().await?, host(), Existing::Keep, Timestamp::now()).await?;
    let (commands, orders) = mpsc::channel(8);
    let options = daemon::Options::new(state.clone(), host());
    let ended = tokio::spawn(daemon::run(options, move || said.clone(), orders));
    let node = operator.until(|node| node.sequence == 1).await?;
    ensure!(node.state() != v1::NodeState::Encrypted, "{node:?}");
    for directory in ["server", "agent"] {
        let (found, read) = leaks(&scratch.path().join(directory))?;
        ensure!(found.is_empty() && read > 2, "{read} files, and the secret in {found:?}");
    }
    // The search finds what is there.
    ensure!(leaks(&root)?.0.len() > 10, "the secret is below the root");
    commands.send(Command::Stop).await.context("the daemon ended")?;
    tokio::time::timeout(DEADLINE, ended).await???;
    server.shutdown().await;
    Ok(())
}
