//! The real agent beside a process that answers as a search node, and the real server: a node without an agent is found.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use atrest_agent::config::Config;
use atrest_agent::daemon::{self, Command};
use atrest_agent::discovery::Declared;
use atrest_agent::host::live::LiveHost;
use atrest_agent::observer::Local;
use atrest_agent::resident;
use atrest_agent::transport::StateDir;
use atrest_agent::transport::enroll::{Existing, enroll};
use atrest_proto::model::Host;
use atrest_proto::v1;
use atrest_proto::v1::fleet_service_client::FleetServiceClient;
use atrest_server::clock::Clock;
use atrest_server::serve;
use atrest_server::store::sqlite::Sqlite;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::mpsc;

use crate::node_api::Scene;
use crate::together::{DEADLINE, Operator, server_config};

impl Operator {
    /// The numbers of the stand-in's cluster, once an agent told of them.
    async fn search_cluster(&self) -> anyhow::Result<v1::SearchCluster> {
        let asked = async {
            loop {
                let request = self.request(v1::GetFleetStatusRequest::default())?;
                let mut fleet = FleetServiceClient::new(self.channel.clone());
                let status = fleet.get_fleet_status(request).await?.into_inner();
                let mut clusters = status.search_clusters.into_iter();
                if let Some(found) = clusters.find(|cluster| cluster.listed_at.is_some()) {
                    return anyhow::Ok(found);
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, asked).await.context("no cluster was told of")?
    }

    async fn missing(&self) -> anyhow::Result<Vec<v1::FleetFinding>> {
        let check = "node_missing".to_owned();
        let request = self.request(v1::ListFindingsRequest { check, ..Default::default() })?;
        let found = FleetServiceClient::new(self.channel.clone()).list_findings(request).await?;
        Ok(found.into_inner().findings)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_the_cluster_that_has_no_agent_is_found() -> anyhow::Result<()> {
    let other = json!({"name": "es-2", "transport_address": "10.0.0.2:9300", "roles": ["data"]});
    let others = [("other-id".to_owned(), other)].into_iter().collect();
    let scene = Scene::with_others(others)?;
    let directory = tempfile::tempdir()?;
    let config = server_config(&directory.path().join("server"), 0)?;
    let clock = Clock::manual(Timestamp::now());
    let server =
        serve::start_with(config, clock.clone(), |path| Ok(Arc::new(Sqlite::open(path)?))).await?;
    // Whoever was connected before its start has had the time to come back.
    clock.advance(Duration::from_mins(6));
    let operator = Operator::of(&server).await?;

    let state = StateDir::new(directory.path().join("agent"));
    let host = Host {
        hostname: "es-1".to_owned(),
        machine_fingerprint: "1".repeat(32),
        ..Host::default()
    };
    enroll(&state, &operator.token().await?, host.clone(), Existing::Keep, Timestamp::now())
        .await?;
    let options = daemon::Options::new(state, host);
    let host = Box::new(LiveHost::new("/"));
    let observer = Local::new(host, Declared::default, None, Timestamp::now);
    let scan = resident::scan(Box::new(observer), Config::default(), &options);
    let (commands, told) = mpsc::channel(8);
    let ended = tokio::spawn(daemon::run(options, scan, told));

    let cluster = operator.search_cluster().await?;
    ensure!((cluster.nodes, cluster.without_agent) == (2, 1), "{cluster:?}");
    ensure!(cluster.name == "stand-in", "{cluster:?}");
    server.hub.sweep().await;
    ensure!(operator.missing().await?.is_empty(), "not at once");
    clock.advance(Duration::from_mins(16));
    server.hub.sweep().await;
    let missing = operator.missing().await?;
    let [row] = missing.as_slice() else { anyhow::bail!("{missing:?}") };
    let finding = row.finding.as_ref().context("a finding")?;
    ensure!(finding.asset == "node:other-id" && row.hostname == "stand-in", "{row:?}");
    ensure!(finding.summary.contains("es-2 (10.0.0.2:9300)"), "{finding:?}");

    commands.send(Command::Stop).await?;
    tokio::time::timeout(DEADLINE, ended).await???;
    server.shutdown().await;
    drop(scene);
    Ok(())
}
