//! The product's server as a process, on a state directory of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use atrest_proto::v1;
use atrest_proto::v1::fleet_service_client::FleetServiceClient;
use atrest_proto::v1::token_service_client::TokenServiceClient;
use tonic::Request;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::machine::Target;
use super::process::{Memory, Process};

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    directory: PathBuf,
    process: Process,
    /// More of its configuration.
    more: String,
    pub agents_port: u16,
    pub operators_port: u16,
}

impl Server {
    /// Starts `program` with its state below `directory`, on free ports.
    pub fn start(program: &Path, directory: &Path) -> anyhow::Result<Self> {
        Self::start_on(program, directory, "", (0, 0))
    }

    /// The same with `more` at the end of its configuration.
    pub fn start_with(program: &Path, directory: &Path, more: &str) -> anyhow::Result<Self> {
        Self::start_on(program, directory, more, (0, 0))
    }

    fn start_on(
        program: &Path,
        directory: &Path,
        more: &str,
        ports: (u16, u16),
    ) -> anyhow::Result<Self> {
        let config = directory.join("server.toml");
        let text = format!(
            "state_dir = \"{}\"\n[agents]\nlisten = \"127.0.0.1:{}\"\npublic_address = \"localhost\"\n\
             [operators]\nlisten = \"127.0.0.1:{}\"\n[log]\nformat = \"json\"\n\
             [enrollment]\nper_second = 100000\nper_second_per_address = 100000\n{more}",
            state(directory).display(),
            ports.0,
            ports.1,
        );
        std::fs::write(&config, text)?;
        let (process, agents_port, operators_port) = launch(program, &config)?;
        let (program, directory) = (program.to_owned(), directory.to_owned());
        let more = more.to_owned();
        Ok(Self { program, directory, process, more, agents_port, operators_port })
    }

    /// SIGKILL, and a new process on the same state and ports.
    pub fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        let ports = (self.agents_port, self.operators_port);
        let more = self.more.clone();
        *self = Self::start_on(&self.program.clone(), &self.directory.clone(), &more, ports)?;
        Ok(())
    }

    pub fn memory(&self) -> anyhow::Result<Memory> {
        self.process.memory()
    }

    /// The processor time that the server has had, in seconds.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.process.cpu_seconds()
    }

    /// Where its state is.
    pub fn state_dir(&self) -> PathBuf {
        state(&self.directory)
    }

    /// PEM of the authority that it made.
    #[expect(clippy::disallowed_methods, reason = "a file of our own")]
    pub fn authority(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.state_dir().join("ca.pem"))?)
    }

    /// Where agents attach to.
    pub fn target(&self) -> anyhow::Result<Target> {
        Ok(Target {
            port: self.agents_port,
            authority: self.authority()?,
            rpc: "/atrest.v1.AgentService/Attach",
        })
    }

    /// An operator with the token that was made at first start.
    pub async fn operator(&self) -> anyhow::Result<Operator> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.authority()?))
            .domain_name("localhost");
        let channel = Endpoint::from_shared(format!("https://127.0.0.1:{}", self.operators_port))?
            .tls_config(tls)?
            .connect()
            .await?;
        #[expect(clippy::disallowed_methods, reason = "a file of our own")]
        let token = std::fs::read_to_string(self.state_dir().join("admin.token"))?;
        Ok(Operator { channel, bearer: format!("Bearer {}", token.trim()) })
    }
}

fn state(directory: &Path) -> PathBuf {
    directory.join("state")
}

#[expect(clippy::disallowed_methods, reason = "the server is a process of its own")]
fn launch(program: &Path, config: &Path) -> anyhow::Result<(Process, u16, u16)> {
    let child = Command::new(program)
        .args(["serve", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{}", program.display()))?;
    let mut process = Process(child);
    let stderr = process.0.stderr.take().context("stderr is piped")?;
    let mut lines = BufReader::new(stderr).lines();
    let mut ports = None;
    let mut said = String::new();
    for line in lines.by_ref() {
        let line = line?;
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let fields = event.get("fields").cloned().unwrap_or_default();
        let field = |name: &str| fields.get(name).and_then(|value| value.as_str());
        if field("message") == Some("serving") {
            let port = |name| field(name).and_then(|text| text.parse::<SocketAddr>().ok());
            ports = port("agents").zip(port("operators"));
            break;
        }
        said.push_str(&line);
        said.push('\n');
    }
    let (agents, operators) =
        ports.with_context(|| format!("the server did not start:\n{said}"))?;
    // The log goes on being read, so that the server never waits for us.
    std::thread::spawn(move || lines.for_each(drop));
    Ok((process, agents.port(), operators.port()))
}

/// Who may see and do everything.
#[derive(Debug, Clone)]
pub struct Operator {
    channel: Channel,
    bearer: String,
}

impl Operator {
    fn request<T>(&self, message: T) -> anyhow::Result<Request<T>> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearer.parse()?);
        Ok(request)
    }

    /// The secret of a token for so many hosts.
    pub async fn token(&self, cluster: &str, uses: u32) -> anyhow::Result<String> {
        let pasteable = self.pasteable(cluster, uses).await?;
        Ok(atrest_proto::token::EnrollmentToken::decode(&pasteable)?.secret)
    }

    /// The string that an agent enrols with.
    pub async fn pasteable(&self, cluster: &str, uses: u32) -> anyhow::Result<String> {
        let cluster = cluster.to_owned();
        let wanted = v1::CreateTokenRequest { cluster, uses, ..Default::default() };
        let created = TokenServiceClient::new(self.channel.clone())
            .create_token(self.request(wanted)?)
            .await?
            .into_inner();
        Ok(created.pasteable)
    }

    /// The counts of the fleet; that they sum to the enrolled is looked at each time.
    pub async fn status(&self) -> anyhow::Result<v1::GetFleetStatusResponse> {
        let status = FleetServiceClient::new(self.channel.clone())
            .get_fleet_status(self.request(v1::GetFleetStatusRequest::default())?)
            .await?
            .into_inner();
        let sum = status.encrypted
            + status.partial
            + status.unencrypted
            + status.claimed
            + status.unknown
            + status.stale;
        ensure!(sum == status.enrolled, "the states do not sum to the enrolled: {status:?}");
        Ok(status)
    }

    /// All hosts, page by page.
    pub async fn nodes(&self) -> anyhow::Result<Vec<v1::Node>> {
        let mut nodes = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListNodesRequest { page_token, ..Default::default() };
            let page = FleetServiceClient::new(self.channel.clone())
                .list_nodes(self.request(request)?)
                .await?
                .into_inner();
            nodes.extend(page.nodes);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(nodes);
            }
        }
    }
}
