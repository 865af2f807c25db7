//! What a test has: a directory, the real server in process, an agent, and somebody who asks the server.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use atrest_proto::model::Outcome;
use atrest_proto::v1;
use atrest_proto::v1::fleet_service_client::FleetServiceClient;
use atrest_proto::v1::token_service_client::TokenServiceClient;
use atrest_server::clock::Clock;
use atrest_server::config::Config;
use atrest_server::serve::{self, Running};
use atrest_server::store::Store;
use atrest_server::store::sqlite::Sqlite;
use jiff::Timestamp;
use tempfile::TempDir;
use tonic::Request;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::agent::Agent;

/// Longer than anything here takes, even on a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

pub(crate) struct Scene {
    directory: TempDir,
    pub(crate) runtime: tokio::runtime::Runtime,
    /// The server's.
    clock: Clock,
    server: Option<Running>,
    agent: Option<Agent>,
}

impl Scene {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        Ok(Self {
            directory: tempfile::tempdir()?,
            runtime,
            clock: Clock::system(),
            server: None,
            agent: None,
        })
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A file that only this user can read.
    pub(crate) fn file(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(path)
    }

    /// The whole configuration of a server with these notifiers.
    pub(crate) fn config(&self, notify: &str) -> String {
        // What is told of one asset need not be waited for.
        let notify =
            notify.replace("\nname = ", "\ngroup_wait = \"0s\"\ngroup_interval = \"0s\"\nname = ");
        format!(
            "state_dir = \"{}\"\n[agents]\nlisten = \"127.0.0.1:0\"\npublic_address = \"localhost\"\n\
             heartbeat_interval = \"1s\"\nsilent_after = \"168h\"\n[operators]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n\
             filter = \"trace\"\n{notify}",
            self.directory.path().join("server").display()
        )
    }

    /// A server with these notifiers, and an agent that reports a failure.
    pub(crate) fn start(&mut self, notify: &str) -> anyhow::Result<()> {
        let config = Config::parse(&self.config(notify))
            .map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        let clock = self.clock.clone();
        let started = serve::start_with(config, clock, |path| {
            Ok(Arc::new(Sqlite::open(path)?) as Arc<dyn Store>)
        });
        let server = self.runtime.block_on(started)?;
        let operator = self.runtime.block_on(Operator::of(&server))?;
        let directory = self.directory.path().join("agent");
        let agent = self.runtime.block_on(async {
            let token = operator.token().await?;
            Agent::start(&directory, &token).await
        })?;
        self.server = Some(server);
        self.agent = Some(agent);
        Ok(())
    }

    /// The agent's next report says this of its asset.
    pub(crate) fn says(&self, outcome: Outcome) -> anyhow::Result<()> {
        let agent = self.agent.as_ref().context("an agent")?;
        self.runtime.block_on(agent.says(outcome))
    }

    /// The server's clock stands still until it is moved.
    pub(crate) fn stand_still(&mut self) {
        self.clock = Clock::manual(Timestamp::now());
    }

    /// Moves the server's clock.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// What became of telling the one alert, once that is as expected.
    pub(crate) fn until(
        &self,
        state: v1::AlertState,
        expected: impl Fn(&[v1::Delivery]) -> bool,
    ) -> anyhow::Result<Vec<v1::Delivery>> {
        let server = self.server.as_ref().context("a server")?;
        self.runtime.block_on(async {
            let operator = Operator::of(server).await?;
            let mut last = Vec::new();
            let asked = async {
                loop {
                    last = operator.deliveries(state).await?;
                    if !last.is_empty() && expected(&last) {
                        return anyhow::Ok(());
                    }
                    tokio::task::yield_now().await;
                }
            };
            match tokio::time::timeout(DEADLINE, asked).await {
                Ok(done) => done?,
                Err(_) => anyhow::bail!("it did not become so; last was {last:?}"),
            }
            Ok(last)
        })
    }

    /// Until all that was to be told of the alert in this state is.
    pub(crate) fn told(&self, state: v1::AlertState) -> anyhow::Result<()> {
        let all = |told: &[v1::Delivery]| told.iter().all(|one| one.status == "delivered");
        self.until(state, all).map(drop)
    }

    /// Until an attempt of the only notifier failed; why.
    pub(crate) fn refused(&self) -> anyhow::Result<String> {
        let told = self.until(v1::AlertState::Firing, |told| {
            told.iter().all(|one| !one.last_error.is_empty())
        })?;
        ensure!(told.iter().all(|one| one.status == "pending"), "{told:?}");
        Ok(told.into_iter().map(|one| one.last_error).collect())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let (agent, server) = (self.agent.take(), self.server.take());
        self.runtime.block_on(async {
            if let Some(agent) = agent {
                agent.stop().await;
            }
            if let Some(server) = server {
                server.shutdown().await;
            }
        });
    }
}

/// Somebody with the token that was made at first start.
pub(crate) struct Operator {
    channel: Channel,
    token: String,
}

impl Operator {
    async fn of(server: &Running) -> anyhow::Result<Self> {
        let authority = std::fs::read_to_string(server.authority_file())?;
        let token = std::fs::read_to_string(server.admin_token_file())?;
        Self::connect(server.operators_addr.port(), &authority, &token).await
    }

    pub(crate) async fn connect(port: u16, authority: &str, token: &str) -> anyhow::Result<Self> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{port}"))?;
        let channel = endpoint.tls_config(tls)?.connect().await?;
        Ok(Self { channel, token: token.trim().to_owned() })
    }

    fn request<T>(&self, message: T) -> anyhow::Result<Request<T>> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse()?);
        Ok(request)
    }

    pub(crate) async fn token(&self) -> anyhow::Result<String> {
        let request = v1::CreateTokenRequest { cluster: "prod".to_owned(), ..Default::default() };
        let created = TokenServiceClient::new(self.channel.clone())
            .create_token(self.request(request)?)
            .await?;
        Ok(created.into_inner().pasteable)
    }

    /// What became of telling of all alerts in this state.
    pub(crate) async fn deliveries(
        &self,
        state: v1::AlertState,
    ) -> anyhow::Result<Vec<v1::Delivery>> {
        let request = v1::ListAlertsRequest { state: state.into(), ..Default::default() };
        let alerts = FleetServiceClient::new(self.channel.clone())
            .list_alerts(self.request(request)?)
            .await?;
        Ok(alerts.into_inner().alerts.into_iter().flat_map(|alert| alert.deliveries).collect())
    }
}
