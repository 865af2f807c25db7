//! A report made ready to be applied: everything that can be worked out before the store is asked.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Host, Posture};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Content, Digest, FindingKey, NodeState, rollup};

/// Where a finding's asset lies: for alerts, so that people find it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    pub path: String,
    /// The devices that hold plaintext.
    pub devices: Vec<String>,
}

/// A finding with its text, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    pub finding: Finding,
    pub place: Place,
    pub content: Content,
}

impl Body {
    pub fn new(finding: Finding, place: Place) -> Self {
        let content = content(&finding);
        Self { finding, place, content }
    }
}

/// What one report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    pub sequence: u64,
    pub digest: Digest,
    pub observed_at: Timestamp,
    pub host: Host,
    pub verdict: NodeState,
    pub findings: BTreeMap<FindingKey, Body>,
}

impl Observation {
    pub fn new(sequence: u64, digest: Digest, posture: Posture) -> Self {
        let verdict = rollup::of_paths(&posture.paths);
        let places: BTreeMap<_, _> = posture
            .paths
            .into_iter()
            .map(|path| {
                let mut devices: Vec<_> = path.plain.into_iter().map(|leg| leg.device).collect();
                devices.sort_unstable();
                devices.dedup();
                (path.asset, Place { path: path.path, devices })
            })
            .chain(posture.keystores.into_iter().map(|keystore| {
                (keystore.asset, Place { path: keystore.path, devices: Vec::new() })
            }))
            .collect();
        let mut findings = BTreeMap::<FindingKey, Body>::new();
        for finding in posture.findings {
            let key = FindingKey::from(&finding);
            if key.is_servers_own() {
                continue;
            }
            // Twice the same check on the same asset: the worse one counts.
            if findings.get(&key).is_some_and(|known| known.finding.outcome <= finding.outcome) {
                continue;
            }
            let place = places.get(&key.asset).cloned().unwrap_or_default();
            findings.insert(key, Body::new(finding, place));
        }
        Self {
            sequence,
            digest,
            observed_at: posture.observed_at,
            host: posture.host,
            verdict,
            findings,
        }
    }
}

fn content(finding: &Finding) -> Content {
    let json = serde_json::to_vec(finding).unwrap_or_default();
    let digest: [u8; 32] = Sha256::digest(json).into();
    let mut content = Content::default();
    content.copy_from_slice(digest.split_at(size_of::<Content>()).0);
    content
}
