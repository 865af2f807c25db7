//! Nodes of a search cluster that no agent calls its own: the server's own finding `node_missing`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use atrest_proto::model::{Finding, Outcome, Severity};
use jiff::Timestamp;

use super::{ClusterKey, List, Listed, Member, is_over};
use crate::fleet::observation::{Body, Place};
use crate::fleet::{Applied, FindingKey};

/// The check of the catalogue.
pub const NODE_MISSING: &str = "node_missing";
/// Findings that are over and remembered, by cluster: machines that come and go make a new id each time.
const MAX_OVER: usize = 2_000;

/// Whose nodes are whose, in one cluster.
#[derive(Debug, Default)]
pub(super) struct Holders<'a> {
    by_id: BTreeMap<&'a str, &'a str>,
    /// Of nodes that could not be asked.
    by_name: BTreeMap<&'a str, &'a str>,
    /// Of hosts of another cluster, which are not believed.
    elsewhere: BTreeMap<&'a str, &'a str>,
}

pub(super) fn holders<'a>(
    members: impl Iterator<Item = &'a Member>,
    key: &ClusterKey,
) -> Holders<'a> {
    let mut holders = Holders::default();
    let mut unasked = Vec::new();
    let mut cluster_name = None;
    for member in members {
        for node in &member.nodes {
            let is_here = member.cluster == key.cluster;
            if node.cluster_uuid == key.uuid && !node.node_id.is_empty() {
                let by_id = if is_here { &mut holders.by_id } else { &mut holders.elsewhere };
                by_id.insert(&node.node_id, &member.hostname);
                if is_here {
                    cluster_name = Some(node.cluster_name.as_str());
                }
            } else if is_here && node.node_id.is_empty() {
                unasked.push((node, member));
            }
        }
    }
    for (node, member) in unasked {
        let is_its = node.cluster_uuid == key.uuid
            || (node.cluster_uuid.is_empty() && Some(node.cluster_name.as_str()) == cluster_name);
        if is_its {
            // The products take the machine's name where none is set.
            let name = Some(node.node_name.as_str()).filter(|name| !name.is_empty());
            holders.by_name.insert(name.unwrap_or(&member.hostname), &member.hostname);
        }
    }
    holders
}

impl Holders<'_> {
    /// The host that a node is on.
    pub(super) fn of(&self, id: &str, name: &str) -> Option<&str> {
        self.by_id.get(id).or_else(|| self.by_name.get(name)).copied()
    }
}

/// What is known of the nodes of one cluster.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Told of as missing.
    open: BTreeSet<String>,
    /// Without an agent, and since when.
    missing: BTreeMap<String, Timestamp>,
    /// Of those that were told of: not on the list, and since when.
    gone: BTreeMap<String, Timestamp>,
}

/// What is to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Verdicts {
    missing: BTreeMap<String, (Listed, Option<String>)>,
    /// With the host that has it.
    found: BTreeMap<String, String>,
    gone: BTreeSet<String>,
}

impl Verdicts {
    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.found.is_empty() && self.gone.is_empty()
    }
}

impl Watch {
    /// The finding of this asset is open.
    pub(super) fn open(&mut self, asset: &str) {
        if let Some(id) = asset.strip_prefix(PREFIX) {
            self.open.insert(id.to_owned());
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.missing.is_empty() || !self.gone.is_empty()
    }

    pub(super) fn look(
        &mut self,
        list: &List,
        holders: &Holders<'_>,
        settled: bool,
        patience: Duration,
        now: Timestamp,
    ) -> Verdicts {
        let mut verdicts = self.look_without(holders);
        let without = |(id, node): &(&String, &Listed)| holders.of(id, &node.name).is_none();
        let missing: BTreeMap<_, _> = list.nodes.iter().filter(without).collect();
        for (id, node) in list.nodes.iter().filter(|one| !without(one)) {
            if let Some(host) = holders.of(id, &node.name)
                && self.open.contains(id)
            {
                verdicts.found.insert(id.clone(), host.to_owned());
            }
        }
        self.missing.retain(|id, _| missing.contains_key(id));
        self.gone.retain(|id, _| !list.nodes.contains_key(id));
        for (id, node) in missing {
            let since = *self.missing.entry(id.clone()).or_insert(now);
            if settled && !self.open.contains(id) && is_over(since, patience, now) {
                let elsewhere = holders.elsewhere.get(id.as_str()).map(|host| (*host).to_owned());
                verdicts.missing.insert(id.clone(), (node.clone(), elsewhere));
            }
        }
        if list.complete {
            for id in &self.open {
                if list.nodes.contains_key(id) || verdicts.found.contains_key(id) {
                    continue;
                }
                let since = *self.gone.entry(id.clone()).or_insert(now);
                if is_over(since, patience, now) {
                    verdicts.gone.insert(id.clone());
                }
            }
        }
        verdicts
    }

    /// Without a list: only an agent that has the node ends what was told.
    pub(super) fn look_without(&self, holders: &Holders<'_>) -> Verdicts {
        let found = self.open.iter().filter_map(|id| {
            let host = holders.by_id.get(id.as_str())?;
            Some((id.clone(), (*host).to_owned()))
        });
        Verdicts { found: found.collect(), ..Verdicts::default() }
    }

    pub(super) fn told(&mut self, verdicts: &Verdicts) {
        self.open.extend(verdicts.missing.keys().cloned());
        for id in verdicts.found.keys().chain(&verdicts.gone) {
            self.open.remove(id);
            self.gone.remove(id);
            self.missing.remove(id);
        }
    }
}

const PREFIX: &str = "node:";

fn key(id: &str) -> FindingKey {
    FindingKey::new(NODE_MISSING, format!("{PREFIX}{id}"))
}

pub(super) fn tell(applied: &mut Applied, verdicts: &Verdicts, now: Timestamp) {
    for (id, (node, elsewhere)) in &verdicts.missing {
        let body = missing(&applied.state.hostname, id, node, elsewhere.as_deref());
        applied.meet(key(id), body, now);
    }
    for (id, host) in &verdicts.found {
        let summary = format!("the agent of {host} looks after the node {id}");
        let body =
            body(id, (Outcome::Pass, Severity::High), summary, String::new(), BTreeMap::new());
        applied.meet(key(id), body, now);
    }
    for id in &verdicts.gone {
        applied.retire_one(&key(id), now);
    }
    let mut over: Vec<_> = applied
        .state
        .findings
        .iter()
        .filter(|(key, finding)| key.check == NODE_MISSING && !finding.is_open())
        .map(|(key, finding)| {
            (finding.changed_at.max(finding.retired_at.unwrap_or(Timestamp::MIN)), key.clone())
        })
        .collect();
    over.sort_unstable_by_key(|(at, _)| std::cmp::Reverse(*at));
    for (_, key) in over.into_iter().skip(MAX_OVER) {
        applied.forget(&key);
    }
}

fn missing(cluster: &str, id: &str, node: &Listed, elsewhere: Option<&str>) -> Body {
    let Listed { name, address, roles } = node;
    // What holds no data still writes logs, dumps and its keystore.
    let holds_data = roles.is_empty() || roles.iter().any(|role| role.starts_with("data"));
    let severity = if holds_data { Severity::High } else { Severity::Medium };
    let shown = if name.is_empty() { id } else { name };
    let at = if address.is_empty() { String::new() } else { format!(" ({address})") };
    let summary = format!(
        "the cluster {cluster} has the node {shown}{at}, and no agent looks after it: nobody knows how its data rest"
    );
    let mut remedy = format!(
        "on {shown}, install atrest-agent and enrol it with a token of the same cluster; where it has one already, let it \
         ask the node ([node_api] in its configuration)"
    );
    let mut evidence = BTreeMap::from([
        ("node_id".to_owned(), id.to_owned()),
        ("node_name".to_owned(), name.clone()),
        ("address".to_owned(), address.clone()),
        ("roles".to_owned(), roles.join(",")),
    ]);
    if let Some(host) = elsewhere {
        remedy = format!(
            "{host} says that it is its node, and is enrolled in another cluster of atrest: enrol it with a token of \
             this one"
        );
        evidence.insert("claimed_by".to_owned(), host.to_owned());
    }
    body(id, (Outcome::Fail, severity), summary, remedy, evidence)
}

fn body(
    id: &str,
    (outcome, severity): (Outcome, Severity),
    summary: String,
    remedy: String,
    evidence: BTreeMap<String, String>,
) -> Body {
    let FindingKey { check, asset } = key(id);
    let finding = Finding {
        check,
        asset,
        outcome,
        severity,
        summary,
        remedy,
        reasons: Vec::new(),
        evidence,
        affects: Vec::new(),
    };
    Body::new(finding, Place::default())
}
