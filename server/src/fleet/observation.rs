//! A report made ready to be applied: everything that can be worked out before the store is asked.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Host, Keystore, PathPosture, Posture};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Content, Digest, FindingKey, NodeState, Outline, rollup};

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
}

impl Body {
    pub const fn new(finding: Finding, place: Place) -> Self {
        Self { finding, place }
    }

    /// What tells its text from another.
    pub(super) fn content(&self) -> Content {
        let json = serde_json::to_vec(&self.finding).unwrap_or_default();
        let digest: [u8; 32] = Sha256::digest(json).into();
        let mut content = Content::default();
        content.copy_from_slice(digest.split_at(size_of::<Content>()).0);
        content
    }
}

/// What one report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    pub sequence: u64,
    pub digest: Digest,
    pub outline: Outline,
    pub observed_at: Timestamp,
    pub host: Host,
    pub verdict: NodeState,
    pub findings: BTreeMap<FindingKey, Body>,
}

impl Observation {
    pub fn new(sequence: u64, digest: Digest, posture: Posture) -> Self {
        let outline = outline(&posture);
        let of_paths = rollup::of_paths(&posture.paths);
        let of_findings = rollup::of_findings(&posture.findings, &posture.paths);
        let verdict = of_paths.min(of_findings);
        let Posture { host, observed_at, paths, keystores, findings, .. } = posture;
        let findings = bodies(paths, keystores, findings);
        Self { sequence, digest, outline, observed_at, host, verdict, findings }
    }
}

/// The outline of a posture: what its host is, its paths with their verdicts, and of each finding everything but the text.
pub fn outline(posture: &Posture) -> Outline {
    let mut hash = Sha256::new();
    let mut text = |text: &str, more: &[u8]| {
        hash.update(text.len().to_le_bytes());
        hash.update(text.as_bytes());
        hash.update(more);
    };
    let Host { hostname, machine_fingerprint, os, kernel, architecture, boot_id, agent_version } =
        &posture.host;
    for fact in [hostname, machine_fingerprint, os, kernel, architecture, boot_id, agent_version] {
        text(fact, &[]);
    }
    text("", &posture.paths.len().to_le_bytes());
    for path in &posture.paths {
        text(&path.asset, &[path.verdict as u8]);
    }
    for finding in &posture.findings {
        text(&finding.check, &[finding.outcome as u8, finding.severity as u8]);
        text(&finding.asset, &[]);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut outline = Outline::default();
    outline.copy_from_slice(digest.split_at(size_of::<Outline>()).0);
    outline
}

/// The findings of a posture that count, each with where it is.
pub fn bodies(
    paths: Vec<PathPosture>,
    keystores: Vec<Keystore>,
    findings: Vec<Finding>,
) -> BTreeMap<FindingKey, Body> {
    let places: BTreeMap<_, _> =
        paths
            .into_iter()
            .map(|path| {
                let mut devices: Vec<_> = path.plain.into_iter().map(|leg| leg.device).collect();
                devices.sort_unstable();
                devices.dedup();
                (path.asset, Place { path: path.path, devices })
            })
            .chain(keystores.into_iter().map(|keystore| {
                (keystore.asset, Place { path: keystore.path, devices: Vec::new() })
            }))
            .collect();
    let mut bodies = BTreeMap::<FindingKey, Body>::new();
    for finding in findings {
        let key = FindingKey::from(&finding);
        if key.is_servers_own() {
            continue;
        }
        // Twice the same check on the same asset: the worse one counts.
        if bodies.get(&key).is_some_and(|known| known.finding.outcome <= finding.outcome) {
            continue;
        }
        let place = places.get(&key.asset).cloned().unwrap_or_default();
        bodies.insert(key, Body::new(finding, place));
    }
    bodies
}
