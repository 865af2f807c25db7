//! Search clusters across hosts: whose nodes are whose, which have no agent, whose keystores differ.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::digest;
use jiff::Timestamp;
use tracing::{debug, info};

use super::{Hub, Session, lock};
use crate::fleet::HostId;
use crate::fleet::cluster::{
    self, ClusterKey, Clusters, KEYSTORE_DIFFERS, KeystoreFacts, Member, NODE_MISSING, Patience,
    Said, Summary,
};
use crate::logging::chain;
use crate::store::{FindingFilter, PageRequest, Store, StoreError};

/// What was known before the server was started.
pub(super) async fn known(
    store: &dyn Store,
    patience: Patience,
    now: Timestamp,
) -> Result<Clusters, StoreError> {
    let members = store.member_list().await?;
    let clusters: BTreeMap<_, _> =
        store.cluster_list().await?.into_iter().map(|(key, host)| (host, key)).collect();
    let mut open = Vec::new();
    for check in [NODE_MISSING, KEYSTORE_DIFFERS] {
        let check = Some(check.to_owned());
        let filter = FindingFilter { check, ..FindingFilter::default() };
        let mut page = PageRequest::default();
        loop {
            let found = store.finding_list(filter.clone(), page).await?;
            for row in found.items.into_iter().filter(|row| row.opened_at.is_some()) {
                if let Some(key) = clusters.get(&row.host_id) {
                    open.push((key.clone(), row.finding.check, row.finding.asset));
                }
            }
            if found.next.is_empty() {
                break;
            }
            page = PageRequest::new(0, found.next);
        }
    }
    Ok(Clusters::new(patience, members, open, now))
}

impl Session {
    /// What the host says of the search nodes on it and of their clusters.
    pub async fn belong(&self, hostname: &str, said: Said) -> Result<(), StoreError> {
        let (hub, now) = (&self.hub, self.hub.clock.now());
        // One that is not enrolled any more is told so elsewhere.
        let Some(cluster) = lock(&hub.roster).cluster(&self.host) else { return Ok(()) };
        let (touched, member) =
            lock(&hub.clusters).belong(&self.host, self.number, (hostname, &cluster), said, now);
        hub.note_member(&self.host, touched, member).await
    }

    /// What its report says of the keystores of search nodes.
    pub async fn keep(
        &self,
        hostname: &str,
        keystores: BTreeSet<KeystoreFacts>,
    ) -> Result<(), StoreError> {
        let (hub, now) = (&self.hub, self.hub.clock.now());
        // Most reports say nothing new of them.
        if lock(&hub.clusters).has(&self.host, &keystores) {
            return Ok(());
        }
        let Some(cluster) = lock(&hub.roster).cluster(&self.host) else { return Ok(()) };
        let (touched, member) =
            lock(&hub.clusters).keep(&self.host, (hostname, &cluster), keystores, now);
        hub.note_member(&self.host, touched, member).await
    }
}

impl Hub {
    /// Every search cluster that is known by its UUID, in numbers.
    pub fn search_clusters(&self) -> Vec<Summary> {
        let duties = lock(&self.duties);
        let appointed =
            |key: &ClusterKey| duties.appointed(&digest::cluster_nodes(&key.uuid)).cloned();
        lock(&self.clusters).summaries(appointed)
    }

    async fn note_member(
        &self,
        host: &HostId,
        touched: BTreeSet<ClusterKey>,
        member: Option<Member>,
    ) -> Result<(), StoreError> {
        if let Some(member) = member
            && let Err(error) = self.store.member_keep(host.clone(), member).await
        {
            // What is not kept is not known either: the agent says it again on its next stream.
            lock(&self.clusters).end(host, self.clock.now());
            return Err(error);
        }
        for key in touched {
            self.look_at_cluster(&key).await?;
        }
        Ok(())
    }

    /// What time alone brings about.
    pub(super) async fn look_at_clusters(&self) {
        let waiting = lock(&self.clusters).waiting();
        for key in waiting {
            if let Err(error) = self.look_at_cluster(&key).await {
                // The store has said why; the next sweep tries again.
                debug!(cluster = key.cluster, uuid = key.uuid, error = chain(&error), "not noted");
            }
        }
    }

    async fn look_at_cluster(&self, key: &ClusterKey) -> Result<(), StoreError> {
        // One after the other: what was told is known when the next one is decided.
        let _turn = self.telling_of_clusters.lock().await;
        let now = self.clock.now();
        let settled = self.is_settled();
        let appointed = lock(&self.duties).appointed(&digest::cluster_nodes(&key.uuid)).cloned();
        let (verdicts, name) = {
            let mut clusters = lock(&self.clusters);
            let verdicts = clusters.look(key, appointed.as_ref(), settled, now);
            if verdicts.is_empty() {
                return Ok(());
            }
            (verdicts, clusters.name(key))
        };
        info!(cluster = key.cluster, name, uuid = key.uuid, "a search cluster looks otherwise");
        let host = self.store.cluster_own(key.clone(), name, now).await?;
        let told = verdicts.clone();
        self.change(&host, move |state, now| cluster::tell(state, &verdicts, now), None).await?;
        lock(&self.clusters).told(key, &told);
        Ok(())
    }
}
