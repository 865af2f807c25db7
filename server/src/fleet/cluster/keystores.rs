//! Keystores of one cluster that are not alike: the server's own finding `keystore_differs`.
//!
//! A search cluster wants the same secure settings on all of its nodes. What is compared is the fingerprint that agents
//! report: of format, password state, algorithms, size class, mode, owner and group, nothing of the entries. So equal
//! fingerprints do not prove equal entries; different ones prove that something differs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use atrest_proto::model::{self, Finding, Outcome, Severity};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ClusterKey, Member, is_over};
use crate::fleet::observation::{Body, Place};
use crate::fleet::{Applied, FindingKey};

/// The check of the catalogue.
pub const KEYSTORE_DIFFERS: &str = "keystore_differs";
/// Before the name of a cluster whose UUID is not known.
pub(super) const BY_NAME: &str = "name:";
/// A change of the keystores that goes on for longer than this is told of while it does.
const LONGEST: Duration = Duration::from_hours(24);
/// Nodes that are named; the rest is counted.
const NAMED: usize = 10;
/// The most keystores of one host that are compared.
const MAX_KEYSTORES: usize = 64;
/// The longest fact that is kept; those that make sense are shorter.
const MAX_FACT: usize = 128;

/// Whose keystores are compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Elasticsearch,
    Opensearch,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Elasticsearch, Self::Opensearch];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Elasticsearch => "elasticsearch",
            Self::Opensearch => "opensearch",
        }
    }

    const fn asset(self) -> &'static str {
        match self {
            Self::Elasticsearch => "keystores:elasticsearch",
            Self::Opensearch => "keystores:opensearch",
        }
    }

    pub(super) fn of_asset(asset: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.asset() == asset)
    }

    /// By the format of the keystore: those of other programs belong to one host each.
    fn of_format(format: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == format)
    }
}

/// What a report says of a keystore, as far as nodes are compared by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeystoreFacts {
    pub kind: Kind,
    pub cluster_uuid: String,
    pub cluster_name: String,
    pub fingerprint: String,
    /// What is known of what is in the fingerprint, by name.
    pub facts: BTreeMap<String, String>,
}

impl KeystoreFacts {
    /// Those of a posture that belong to a node of a search cluster and could be read.
    pub fn of(posture: &model::Posture) -> BTreeSet<Self> {
        let of = |keystore: &model::Keystore| {
            let service = posture
                .services
                .iter()
                .find(|service| Some(&service.name) == keystore.service.as_ref())?;
            let short = |text: &str| -> String {
                text.chars().filter(|c| !c.is_control()).take(MAX_FACT).collect()
            };
            let version = keystore.format_version.map(|version| version.to_string());
            let facts = [
                ("format_version", version.as_deref().unwrap_or_default()),
                ("password", keystore.password.as_str()),
                ("kdf", &keystore.kdf),
                ("cipher", &keystore.cipher),
                ("mode", &keystore.mode),
                ("owner", &keystore.owner),
                ("group", &keystore.group),
            ];
            Some(Self {
                kind: Kind::of_format(&keystore.format)?,
                cluster_uuid: short(service.cluster_uuid.as_deref().unwrap_or_default()),
                cluster_name: short(service.cluster_name.as_deref()?),
                fingerprint: short(keystore.fingerprint.as_deref()?),
                facts: facts.map(|(name, value)| (name.to_owned(), short(value))).into(),
            })
        };
        posture.keystores.iter().filter_map(of).take(MAX_KEYSTORES).collect()
    }

    /// The UUID of its cluster, or a name that stands for it.
    pub(super) fn cluster_id(&self) -> String {
        if self.cluster_uuid.is_empty() {
            format!("{BY_NAME}{}", self.cluster_name)
        } else {
            self.cluster_uuid.clone()
        }
    }
}

/// Keystores that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    fingerprint: String,
    facts: BTreeMap<String, String>,
    hosts: BTreeSet<String>,
}

/// The keystores of a cluster by their fingerprints, the most common first.
pub(super) fn of<'a>(
    members: impl Iterator<Item = &'a Member>,
    key: &ClusterKey,
) -> BTreeMap<Kind, Vec<Group>> {
    let mut found = BTreeMap::<Kind, BTreeMap<&str, Group>>::new();
    for member in members.filter(|member| member.cluster == key.cluster) {
        for facts in member.keystores.iter().filter(|facts| facts.cluster_id() == key.uuid) {
            let groups = found.entry(facts.kind).or_default();
            let group = groups.entry(&facts.fingerprint).or_insert_with(|| Group {
                fingerprint: facts.fingerprint.clone(),
                facts: facts.facts.clone(),
                hosts: BTreeSet::new(),
            });
            group.hosts.insert(member.hostname.clone());
        }
    }
    // Also what is there no more: that it differs is over then.
    let sorted = Kind::ALL.into_iter().map(|kind| {
        let groups = found.remove(&kind).unwrap_or_default();
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.hosts.len()));
        (kind, groups)
    });
    sorted.collect()
}

/// What is known of the keystores of one kind in one cluster.
#[derive(Debug, Default)]
pub(super) struct Watch {
    groups: Vec<Group>,
    /// When one of them last changed.
    changed_at: Option<Timestamp>,
    /// Since when they are not all alike.
    since: Option<Timestamp>,
    pub(super) is_open: bool,
    /// What is known was told.
    pub(super) is_told: bool,
}

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Alike,
    /// None is left that could differ.
    Gone,
    Differ(Vec<Group>),
}

impl Watch {
    pub(super) fn note(&mut self, groups: Vec<Group>, now: Timestamp) {
        if self.groups == groups {
            return;
        }
        self.since = (groups.len() > 1).then(|| self.since.unwrap_or(now));
        self.changed_at = Some(now);
        self.is_told = false;
        self.groups = groups;
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.is_told && (self.since.is_some() || self.is_open)
    }

    /// Told is what stays: a change that goes from node to node is over when the last one has it.
    pub(super) fn look(
        &self,
        settled: bool,
        patience: Duration,
        now: Timestamp,
    ) -> Option<Verdict> {
        if self.is_told {
            return None;
        }
        match (self.since, self.changed_at) {
            (None, _) if self.is_open && self.groups.is_empty() => Some(Verdict::Gone),
            (None, _) if self.is_open => Some(Verdict::Alike),
            (Some(since), Some(changed_at))
                if settled
                    && (is_over(changed_at, patience, now) || is_over(since, LONGEST, now)) =>
            {
                Some(Verdict::Differ(self.groups.clone()))
            }
            (Some(_) | None, _) => None,
        }
    }
}

pub(super) fn tell(applied: &mut Applied, verdicts: &BTreeMap<Kind, Verdict>, now: Timestamp) {
    for (kind, verdict) in verdicts {
        let key = FindingKey::new(KEYSTORE_DIFFERS, kind.asset());
        let body = match verdict {
            Verdict::Gone => {
                applied.retire_one(&key, now);
                continue;
            }
            Verdict::Alike => {
                let summary = format!("the keystores of {} are alike", applied.state.hostname);
                body(*kind, Outcome::Pass, summary, String::new(), BTreeMap::new())
            }
            Verdict::Differ(groups) => differ(*kind, &applied.state.hostname, groups),
        };
        applied.meet(key, body, now);
    }
}

fn differ(kind: Kind, cluster: &str, groups: &[Group]) -> Body {
    let what = what_differs(groups);
    let (most, others) = groups.split_first().map_or((None, groups), |(most, others)| {
        // Where no kind is the most common one, none is the one to go by.
        let is_majority = others.iter().all(|other| other.hosts.len() < most.hosts.len());
        if is_majority { (Some(most), others) } else { (None, groups) }
    });
    let odd: BTreeSet<_> = others.iter().flat_map(|group| &group.hosts).cloned().collect();
    let summary = match most {
        Some(most) => format!(
            "{} of {} keystores in the cluster {cluster} differ from the others, by {what}: on {}",
            odd.len(),
            odd.len() + most.hosts.len(),
            named(&odd)
        ),
        None => {
            format!("the keystores of the cluster {cluster} differ by {what}: on {}", named(&odd))
        }
    };
    let remedy = "all nodes of a cluster need the same secure settings: compare the entries by name \
                  (`bin/elasticsearch-keystore list`, `bin/opensearch-keystore list`), add what is missing, and make \
                  format, mode and owner alike"
        .to_owned();
    let mut evidence = BTreeMap::from([("differs".to_owned(), what)]);
    for (number, group) in (1..).zip(groups.iter().take(NAMED)) {
        evidence.insert(format!("kind_{number:02}_hosts"), named(&group.hosts));
        let facts: Vec<_> =
            group.facts.iter().map(|(name, value)| format!("{name}={value}")).collect();
        evidence.insert(format!("kind_{number:02}"), facts.join(" "));
    }
    body(kind, Outcome::Fail, summary, remedy, evidence)
}

fn what_differs(groups: &[Group]) -> String {
    let names: BTreeSet<_> = groups.iter().flat_map(|group| group.facts.keys()).collect();
    let differs = |name: &&&String| {
        let values: BTreeSet<_> = groups.iter().map(|group| group.facts.get(**name)).collect();
        values.len() > 1
    };
    let differing: Vec<_> =
        names.iter().filter(differs).map(|name| name.replace('_', " ")).collect();
    if differing.is_empty() {
        // What of the fingerprint is not told beside it: the size class, and whether the flag of the password is true.
        return "what is not told of them, such as their size: not the same entries, or not of the same length".to_owned();
    }
    differing.join(", ")
}

fn named(hosts: &BTreeSet<String>) -> String {
    let mut names: Vec<_> = hosts.iter().take(NAMED).cloned().collect();
    if hosts.len() > NAMED {
        names.push(format!("and {} more", hosts.len() - NAMED));
    }
    names.join(", ")
}

fn body(
    kind: Kind,
    outcome: Outcome,
    summary: String,
    remedy: String,
    evidence: BTreeMap<String, String>,
) -> Body {
    let finding = Finding {
        check: KEYSTORE_DIFFERS.to_owned(),
        asset: kind.asset().to_owned(),
        outcome,
        severity: Severity::Medium,
        summary,
        remedy,
        reasons: Vec::new(),
        evidence,
        affects: Vec::new(),
    };
    Body::new(finding, Place::default())
}
