//! `GET /metrics`: the fleet in numbers, for Prometheus. The guard has asked who reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use atrest_proto::v1;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prost::Message as _;
use tokio::sync::Mutex;
use tracing::warn;

use super::Context;
use crate::access::METRICS;
use crate::fleet::cluster::Summary;
use crate::fleet::{HostId, NodeState};
use crate::logging::chain;
use crate::metrics::{CONTENT_TYPE, Kind, Text, labels};
use crate::store::{DeliveryCounts, HostFilter, HostRow, PageRequest, StoreError};

/// Postures that one scrape reads: after a start, the cache is filled in several.
const MAX_READS: usize = 500;
/// The longest value of a label, in characters; a path on Linux has 4,096 bytes at most.
const MAX_LABEL: usize = 1_024;

/// Search clusters that are told of: agents may make up any number.
const MAX_CLUSTERS: usize = 1_000;

/// A path: where, what for, and what was found.
type Path = (String, String, &'static str);

/// What the last report of each host said of its paths, with the report's number.
type Known = BTreeMap<HostId, (u64, Arc<[Path]>)>;

#[derive(Debug, Clone)]
struct Scrape {
    context: Context,
    cache: Arc<Mutex<Known>>,
}

pub(super) fn routes(context: Context) -> Router {
    let state = Scrape { context, cache: Arc::default() };
    Router::new().route(METRICS, get(scrape)).with_state(state)
}

async fn scrape(State(scrape): State<Scrape>) -> Response {
    match scrape.text().await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            warn!(error = chain(&error), "could not answer a scrape");
            (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n").into_response()
        }
    }
}

/// Nodes of search clusters, and how many of them have no agent.
fn search_nodes(text: &mut Text, clusters: &[Summary]) {
    let listed = || {
        let listed = clusters.iter().filter(|cluster| cluster.listed_at.is_some());
        listed.take(MAX_CLUSTERS)
    };
    let labels = |Summary { key, name, .. }: &Summary| {
        labels(&[
            ("cluster", &short(&key.cluster)),
            ("search_cluster", &short(name)),
            ("uuid", &short(&key.uuid)),
        ])
    };
    let help = "Nodes of search clusters, by their own lists.";
    text.family("atrest_search_nodes", Kind::Gauge, help);
    for cluster in listed() {
        text.sample("atrest_search_nodes", &labels(cluster), cluster.nodes);
    }
    let help = "Nodes of search clusters that no agent looks after.";
    text.family("atrest_search_nodes_without_agent", Kind::Gauge, help);
    for cluster in listed() {
        text.sample("atrest_search_nodes_without_agent", &labels(cluster), cluster.without_agent);
    }
}

/// A value of a label.
fn short(text: &str) -> String {
    text.chars().take(MAX_LABEL).collect()
}

impl Scrape {
    async fn text(&self) -> Result<String, StoreError> {
        let Context { hub, store, counters, limits, own, .. } = &self.context;
        let mut text = Text::default();
        let counts = hub.counts();
        let help = "Hosts that are enrolled, by what may be said of them.";
        text.family("atrest_nodes", Kind::Gauge, help);
        for state in NodeState::ALL.iter().filter(|state| **state != NodeState::Revoked) {
            let labels = labels(&[("state", state.as_str())]);
            text.sample("atrest_nodes", &labels, counts.of(*state));
        }
        let revoked = "Hosts whose enrolment an operator ended.";
        text.gauge("atrest_nodes_revoked", revoked, counts.revoked);
        text.gauge("atrest_agents_connected", "Agents with an open stream.", counts.connected);
        let failing = "Failures that were not seen to pass.";
        text.gauge("atrest_findings_failing", failing, counts.failing);
        text.gauge("atrest_alerts_firing", "Alerts that are not over.", counts.firing);
        search_nodes(&mut text, &hub.search_clusters());
        self.deliveries(&mut text).await?;
        let help = "When a certificate of the server itself ends, in seconds since 1970.";
        text.family("atrest_certificate_not_after_seconds", Kind::Gauge, help);
        for (which, validity) in own.validities() {
            let labels = labels(&[("certificate", which.as_str())]);
            let until = validity.until.as_second();
            text.sample("atrest_certificate_not_after_seconds", &labels, until);
        }
        text.gauge("atrest_store_waiting", "Calls that wait for the store.", store.waiting());
        counters.write(&mut text);
        if limits.max_path_series > 0 {
            self.paths(&mut text, limits.max_path_series).await?;
        }
        Ok(text.finish())
    }

    /// What is to be told, what was given up, and what became of attempts.
    async fn deliveries(&self, text: &mut Text) -> Result<(), StoreError> {
        let Context { store, notifiers, deliveries, .. } = &self.context;
        let mut counts = store.delivery_counts().await?;
        for notifier in notifiers.iter() {
            counts.entry(notifier.name().to_owned()).or_default();
        }
        let help = "Messages to notifiers: still to be told, and given up.";
        text.family("atrest_deliveries", Kind::Gauge, help);
        for (notifier, DeliveryCounts { pending, failed }) in &counts {
            for (status, count) in [("pending", pending), ("failed", failed)] {
                let labels = labels(&[("notifier", notifier), ("status", status)]);
                text.sample("atrest_deliveries", &labels, count);
            }
        }
        deliveries.write(text);
        Ok(())
    }

    /// The verdict of each path, the worst hosts first, and how many hosts are not told of.
    async fn paths(&self, text: &mut Text, most: usize) -> Result<(), StoreError> {
        // One scrape at a time reads postures.
        let mut cache = self.cache.lock().await;
        let (mut series, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let (mut reads, mut left_out) = (0, 0_u64);
        let mut page = PageRequest::default();
        loop {
            let found = self.context.store.host_list(HostFilter::default(), page).await?;
            for host in found.items {
                seen.insert(host.host_id.clone());
                let Some(paths) = self.paths_of(&host, &mut cache, &mut reads).await? else {
                    left_out += 1;
                    continue;
                };
                let of_host: Vec<_> = paths.iter().map(|path| line(&host, path)).collect();
                // All of a host or nothing: a part of it would look like the whole.
                if series.len() + of_host.len() > most {
                    left_out += 1;
                } else {
                    series.extend(of_host);
                }
            }
            if found.next.is_empty() {
                break;
            }
            page = PageRequest::new(0, found.next);
        }
        cache.retain(|host, _| seen.contains(host));
        let help = "What was found of a watched path; unknown when its host is not heard of.";
        text.family("atrest_path_verdict", Kind::Gauge, help);
        for labels in &series {
            text.sample("atrest_path_verdict", labels, 1);
        }
        let help =
            "Hosts whose paths are not told of: beyond metrics.max_path_series, or not read yet.";
        text.gauge("atrest_path_verdict_hosts_left_out", help, left_out);
        Ok(())
    }

    /// What the host's last report said; `None` when it could not be read within this scrape.
    async fn paths_of(
        &self,
        host: &HostRow,
        cache: &mut Known,
        reads: &mut usize,
    ) -> Result<Option<Arc<[Path]>>, StoreError> {
        let presence = self.context.hub.presence(&host.host_id);
        // No report, or that of a machine whose place was taken.
        if presence.is_none_or(|presence| presence.digest.is_none()) {
            return Ok(Some(Arc::default()));
        }
        if let Some((sequence, paths)) = cache.get(&host.host_id)
            && *sequence == host.sequence
        {
            return Ok(Some(Arc::clone(paths)));
        }
        if *reads >= MAX_READS {
            return Ok(None);
        }
        *reads += 1;
        let body = self.context.store.host_posture(host.host_id.clone()).await?;
        let Some(Ok(posture)) = body.map(|body| v1::Posture::decode(body.as_slice())) else {
            return Ok(None);
        };
        let paths: Arc<[Path]> = posture.paths.into_iter().map(path).collect();
        cache.insert(host.host_id.clone(), (host.sequence, Arc::clone(&paths)));
        Ok(Some(paths))
    }
}

fn path(path: v1::PathPosture) -> Path {
    let verdict = match path.verdict() {
        v1::Verdict::Encrypted => "encrypted",
        v1::Verdict::Partial => "partial",
        v1::Verdict::Unencrypted => "unencrypted",
        v1::Verdict::Claimed => "claimed",
        v1::Verdict::Volatile => "volatile",
        v1::Verdict::Unknown | v1::Verdict::Unspecified => "unknown",
    };
    (path.path, path.r#use, verdict)
}

fn line(host: &HostRow, (path, usage, verdict): &Path) -> String {
    // What was known of a host that is silent is no longer evidence.
    let verdict = if host.state == NodeState::Stale { "unknown" } else { verdict };
    labels(&[
        ("host", &short(&host.hostname)),
        ("cluster", &short(&host.cluster)),
        ("path", &short(path)),
        ("use", &short(usage)),
        ("verdict", verdict),
    ])
}
