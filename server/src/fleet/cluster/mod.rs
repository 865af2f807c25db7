//! Search clusters, across the hosts that their nodes are on: nodes without an agent (`node_missing`), and keystores that
//! differ (`keystore_differs`). Pure.
//!
//! A cluster is known by its UUID within one cluster of hosts, the one that enrolment tokens name: so an agent speaks for
//! the search clusters of its own hosts only. Of the lists that agents bring, the one counts whose agent was drawn to ask.
//! A list that is not there, or not whole, ends nothing.

mod keystores;
mod missing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::HostId;
use crate::clock;

pub use keystores::{KEYSTORE_DIFFERS, KeystoreFacts, Kind};
pub use missing::NODE_MISSING;

/// The most nodes of one machine.
pub const MAX_OWN: usize = 64;
/// The most nodes of one list: the agent cuts it there.
pub const MAX_NODES: usize = 1_000;
/// The most search clusters of one cluster of hosts.
const MAX_CLUSTERS: usize = 1_000;

/// A search cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterKey {
    /// Of the hosts.
    pub cluster: String,
    pub uuid: String,
}

/// A node of a machine, as its agent says. Without an id it could not be asked, and is known by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OwnNode {
    pub cluster_uuid: String,
    pub cluster_name: String,
    pub node_id: String,
    pub node_name: String,
}

/// A node as its cluster lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub address: String,
    pub roles: Vec<String>,
}

/// What a cluster says that it consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// By their ids.
    pub nodes: BTreeMap<String, Listed>,
    /// How many there are, those included that were cut.
    pub total: u64,
    /// Who is not listed is not in the cluster.
    pub complete: bool,
}

/// What an agent says of its machine's nodes and of their clusters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    pub nodes: BTreeSet<OwnNode>,
    /// By the UUID of the cluster.
    pub lists: BTreeMap<String, List>,
    /// What was said of nodes before still holds beside this.
    pub partial: bool,
}

/// What is kept of a host, so that a server that restarts knows whose nodes are whose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Member {
    pub hostname: String,
    /// Of the host.
    pub cluster: String,
    pub nodes: BTreeSet<OwnNode>,
    pub keystores: BTreeSet<KeystoreFacts>,
}

/// How long things have to stay as they are before they are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A node that is new, or gone from the list.
    pub node: Duration,
    /// Keystores of which none has changed.
    pub keystores: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { node: Duration::from_mins(15), keystores: Duration::from_hours(1) }
    }
}

/// A search cluster in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub key: ClusterKey,
    pub name: String,
    pub nodes: u64,
    pub without_agent: u64,
    pub listed_at: Option<Timestamp>,
}

/// Every host with nodes, and every search cluster.
#[derive(Debug)]
pub struct Clusters {
    patience: Patience,
    members: BTreeMap<HostId, Speaker>,
    known: BTreeMap<ClusterKey, Cluster>,
    /// Looked at no more since hosts of theirs ended.
    left: BTreeSet<ClusterKey>,
}

#[derive(Debug, Default)]
struct Speaker {
    member: Member,
    /// The stream that said so; `None` once it is over.
    session: Option<u64>,
    /// Said on that stream.
    lists: BTreeMap<String, List>,
}

#[derive(Debug, Default)]
struct Cluster {
    listed_at: Option<Timestamp>,
    missing: missing::Watch,
    keystores: BTreeMap<Kind, keystores::Watch>,
}

/// What is to be told of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdicts {
    nodes: missing::Verdicts,
    keystores: BTreeMap<Kind, keystores::Verdict>,
}

impl Verdicts {
    /// Nothing is to be told that was not told before.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.keystores.is_empty()
    }
}

impl Clusters {
    /// With what was kept of hosts that are still enrolled, and the findings that are open, by cluster and asset.
    pub fn new(
        patience: Patience,
        members: impl IntoIterator<Item = (HostId, Member)>,
        open: impl IntoIterator<Item = (ClusterKey, String, String)>,
        now: Timestamp,
    ) -> Self {
        let mut clusters = Self {
            patience,
            members: BTreeMap::new(),
            known: BTreeMap::new(),
            left: BTreeSet::new(),
        };
        for (host, member) in members {
            let keys: BTreeSet<_> = keys(&member).collect();
            clusters.members.insert(host, Speaker { member, ..Speaker::default() });
            clusters.enter(keys);
        }
        for (key, check, asset) in open {
            let cluster = clusters.known.entry(key).or_default();
            if check == NODE_MISSING {
                cluster.missing.open(&asset);
            } else if let Some(kind) = Kind::of_asset(&asset) {
                cluster.keystores.entry(kind).or_default().is_open = true;
            }
        }
        let keys: Vec<_> = clusters.known.keys().cloned().collect();
        for key in keys {
            clusters.look_at_keystores(&key, now);
        }
        clusters
    }

    /// The host says this of its nodes. Answers with the clusters that may look otherwise by that, and with what is to be
    /// kept of the host if that is something else than before.
    pub fn belong(
        &mut self,
        host: &HostId,
        session: u64,
        (hostname, cluster): (&str, &str),
        said: Said,
        now: Timestamp,
    ) -> (BTreeSet<ClusterKey>, Option<Member>) {
        let speaker = self.members.entry(host.clone()).or_default();
        if speaker.session.is_some_and(|known| known > session) {
            return (BTreeSet::new(), None);
        }
        let before = speaker.member.clone();
        let mut touched: BTreeSet<_> = keys(&before).collect();
        let Said { mut nodes, lists, partial } = said;
        if partial {
            let room = MAX_OWN.saturating_sub(nodes.len());
            // A name alone says less than the id that was known before.
            let known = before.nodes.iter().filter(|node| !node.node_id.is_empty());
            nodes.extend(known.take(room).cloned());
        }
        speaker.session = Some(session);
        speaker.member.nodes = nodes;
        hostname.clone_into(&mut speaker.member.hostname);
        cluster.clone_into(&mut speaker.member.cluster);
        // Only of clusters that it is in, as the list itself must say.
        speaker.lists = lists
            .into_iter()
            .filter(|(uuid, list)| {
                let is_in = |node: &OwnNode| {
                    node.cluster_uuid == *uuid && list.nodes.contains_key(&node.node_id)
                };
                speaker.member.nodes.iter().any(is_in)
            })
            .collect();
        touched.extend(keys(&speaker.member));
        let listed: Vec<_> = speaker.lists.keys().cloned().collect();
        let changed = (speaker.member != before).then(|| speaker.member.clone());
        let is_nobody = speaker.member.nodes.is_empty() && speaker.member.keystores.is_empty();
        if is_nobody {
            self.members.remove(host);
        }
        let touched = self.enter(touched);
        for uuid in listed {
            let key = ClusterKey { cluster: cluster.to_owned(), uuid };
            if let Some(found) = self.known.get_mut(&key) {
                found.listed_at = Some(now);
            }
        }
        for key in &touched {
            self.look_at_keystores(key, now);
            // Since when nodes have been missing counts from here on, not from when somebody looks.
            drop(self.look(key, None, false, now));
        }
        (touched, changed)
    }

    /// Whether these are the keystores that the host is known to have.
    pub fn has(&self, host: &HostId, keystores: &BTreeSet<KeystoreFacts>) -> bool {
        let known = self.members.get(host).map(|speaker| &speaker.member.keystores);
        known.map_or(keystores.is_empty(), |known| known == keystores)
    }

    /// The host's report says this of its keystores. Answers as [`Self::belong`] does.
    pub fn keep(
        &mut self,
        host: &HostId,
        (hostname, cluster): (&str, &str),
        keystores: BTreeSet<KeystoreFacts>,
        now: Timestamp,
    ) -> (BTreeSet<ClusterKey>, Option<Member>) {
        let speaker = self.members.entry(host.clone()).or_default();
        let mut touched: BTreeSet<_> = keys(&speaker.member).collect();
        speaker.member.keystores = keystores;
        hostname.clone_into(&mut speaker.member.hostname);
        cluster.clone_into(&mut speaker.member.cluster);
        touched.extend(keys(&speaker.member));
        let member = speaker.member.clone();
        let touched = self.enter(touched);
        for key in &touched {
            self.look_at_keystores(key, now);
        }
        (touched, Some(member))
    }

    /// The stream is over: its lists are no longer news, whose nodes are whose stands.
    pub fn leave(&mut self, host: &HostId, session: u64) {
        if let Some(speaker) = self.members.get_mut(host)
            && speaker.session == Some(session)
        {
            speaker.session = None;
            speaker.lists.clear();
        }
    }

    /// The host is no longer one of the fleet, or another machine has its place: its nodes are nobody's.
    pub fn end(&mut self, host: &HostId, now: Timestamp) {
        let Some(speaker) = self.members.remove(host) else { return };
        let touched: BTreeSet<_> = keys(&speaker.member).collect();
        for key in &touched {
            self.look_at_keystores(key, now);
        }
        self.left.extend(touched);
    }

    /// Clusters of which something may have become due by time alone, or by the end of a host.
    pub fn waiting(&mut self) -> BTreeSet<ClusterKey> {
        let waits = |cluster: &Cluster| {
            cluster.missing.is_waiting()
                || cluster.keystores.values().any(keystores::Watch::is_waiting)
        };
        let waiting = self.known.iter().filter(|(_, cluster)| waits(cluster));
        let mut waiting: BTreeSet<_> = waiting.map(|(key, _)| key.clone()).collect();
        waiting.append(&mut self.left);
        waiting
    }

    /// What is to be told of a cluster now. `appointed` is the host whose agent was drawn to ask for its list; without
    /// one, or where it did not, another's list counts. While `settled` is false, hosts may not have come back yet:
    /// nothing new is found.
    pub fn look(
        &mut self,
        key: &ClusterKey,
        appointed: Option<&HostId>,
        settled: bool,
        now: Timestamp,
    ) -> Verdicts {
        let list = self.list(key, appointed).cloned();
        let holders = missing::holders(self.members.values().map(|one| &one.member), key);
        let patience = self.patience;
        let Some(cluster) = self.known.get_mut(key) else { return Verdicts::default() };
        let nodes = match list {
            Some(list) => cluster.missing.look(&list, &holders, settled, patience.node, now),
            None => cluster.missing.look_without(&holders),
        };
        let verdicts = cluster.keystores.iter_mut().filter_map(|(kind, watch)| {
            Some((*kind, watch.look(settled, patience.keystores, now)?))
        });
        Verdicts { nodes, keystores: verdicts.collect() }
    }

    /// What was to be told was written.
    pub fn told(&mut self, key: &ClusterKey, verdicts: &Verdicts) {
        let Some(cluster) = self.known.get_mut(key) else { return };
        cluster.missing.told(&verdicts.nodes);
        for (kind, verdict) in &verdicts.keystores {
            if let Some(watch) = cluster.keystores.get_mut(kind) {
                watch.is_open = matches!(verdict, keystores::Verdict::Differ(_));
                watch.is_told = true;
            }
        }
    }

    /// What people call the cluster: as its nodes do, or by its UUID.
    pub fn name(&self, key: &ClusterKey) -> String {
        let members = self.members.values().map(|speaker| &speaker.member);
        let mut names = members.filter(|member| member.cluster == key.cluster).flat_map(|member| {
            let nodes = member.nodes.iter().filter(|node| node.cluster_uuid == key.uuid);
            let keystores = member.keystores.iter().filter(|one| one.cluster_id() == key.uuid);
            let of_nodes = nodes.map(|node| node.cluster_name.as_str());
            of_nodes.chain(keystores.map(|keystore| keystore.cluster_name.as_str()))
        });
        names.find(|name| !name.is_empty()).unwrap_or(&key.uuid).to_owned()
    }

    /// Every cluster with a UUID.
    pub fn summaries(&self, appointed: impl Fn(&ClusterKey) -> Option<HostId>) -> Vec<Summary> {
        let with_uuid = self.known.iter().filter(|(key, _)| !is_by_name(key));
        let summaries = with_uuid.map(|(key, cluster)| {
            let holders = missing::holders(self.members.values().map(|one| &one.member), key);
            let list = self.list(key, appointed(key).as_ref());
            let without = |list: &List| {
                let open = |(id, node): &(&String, &Listed)| holders.of(id, &node.name).is_none();
                u64::try_from(list.nodes.iter().filter(open).count()).unwrap_or(u64::MAX)
            };
            Summary {
                key: key.clone(),
                name: self.name(key),
                nodes: list.map_or(0, |list| list.total),
                without_agent: list.map_or(0, without),
                listed_at: cluster.listed_at.filter(|_| list.is_some()),
            }
        });
        summaries.collect()
    }

    fn list(&self, key: &ClusterKey, appointed: Option<&HostId>) -> Option<&List> {
        let drawn = appointed.and_then(|host| self.members.get(host));
        let mut speakers = drawn
            .into_iter()
            .chain(self.members.values())
            .filter(|speaker| speaker.member.cluster == key.cluster);
        speakers.find_map(|speaker| speaker.lists.get(&key.uuid))
    }

    /// Makes room for clusters that are new, up to a bound: an agent may make up any number.
    fn enter(&mut self, keys: BTreeSet<ClusterKey>) -> BTreeSet<ClusterKey> {
        let mut entered = BTreeSet::new();
        for key in keys {
            if !self.known.contains_key(&key) {
                let first = ClusterKey { cluster: key.cluster.clone(), uuid: String::new() };
                let others = self.known.range(first..);
                let others = others.take_while(|(other, _)| other.cluster == key.cluster);
                if others.count() >= MAX_CLUSTERS {
                    continue;
                }
                self.known.insert(key.clone(), Cluster::default());
            }
            entered.insert(key);
        }
        entered
    }

    fn look_at_keystores(&mut self, key: &ClusterKey, now: Timestamp) {
        let found = keystores::of(self.members.values().map(|one| &one.member), key);
        let Some(cluster) = self.known.get_mut(key) else { return };
        for (kind, facts) in found {
            cluster.keystores.entry(kind).or_default().note(facts, now);
        }
    }
}

/// The clusters that a host has to do with.
fn keys(member: &Member) -> impl Iterator<Item = ClusterKey> {
    let of_nodes = member.nodes.iter().map(|node| node.cluster_uuid.clone());
    let of_keystores = member.keystores.iter().map(KeystoreFacts::cluster_id);
    let uuids = of_nodes.chain(of_keystores).filter(|uuid| !uuid.is_empty());
    uuids.map(|uuid| ClusterKey { cluster: member.cluster.clone(), uuid })
}

/// Of which no UUID is known.
fn is_by_name(key: &ClusterKey) -> bool {
    key.uuid.starts_with(keystores::BY_NAME)
}

/// How long ago that is, as far as it is past.
fn is_over(since: Timestamp, patience: Duration, now: Timestamp) -> bool {
    clock::after(since, patience) <= now
}

/// What the state of a cluster becomes; `None` when it stays as it is.
pub fn tell(
    previous: super::HostState,
    verdicts: &Verdicts,
    now: Timestamp,
) -> Option<super::Applied> {
    let mut applied = super::Applied::new(previous);
    missing::tell(&mut applied, &verdicts.nodes, now);
    keystores::tell(&mut applied, &verdicts.keystores, now);
    (!applied.touched.is_empty() || !applied.removed.is_empty()).then_some(applied)
}

#[cfg(test)]
mod tests;
