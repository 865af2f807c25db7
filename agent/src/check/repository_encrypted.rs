//! `repository_encrypted`: what lies in a snapshot repository is encrypted.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Outcome, Reason, Severity, Verdict};

use super::outcome::finding;
use super::{CIS_3_11, Check, Context, HIPAA_312, ISO_8_24, NIST_CP_9_8, NIST_SC_28_1, SOC2_CC6_1};
use crate::node_api::{Seen, Sight};
use crate::repository::facts::Facts;
use crate::repository::judge::{self, Encryption, Judged};
use crate::repository::{Looked, Observation};
use crate::snapshot::Snapshot;

pub(super) const CHECK: Check = Check {
    id: "repository_encrypted",
    title: "Snapshots are encrypted where they rest",
    why: "A snapshot is a copy of the data outside the node's own encrypted disk. Whoever gets at the bucket, share or disk \
          reads it, for as long as it is kept.",
    decides: "A directory by the same proof as for every path. A store by what it says of a sample of the objects that lie \
              there, oldest and newest first: a bucket's default binds new objects only. Passes too where the node encrypts \
              before it sends. A store that does not say, that gives no answer, or that is not known is unknown.",
    severity: Severity::High,
    remedy: "turn on encryption by default, then copy the objects onto themselves, or register a new repository and take \
             a full snapshot there",
    controls: &[NIST_SC_28_1, NIST_CP_9_8, HIPAA_312, ISO_8_24, SOC2_CC6_1, CIS_3_11],
    evaluate,
};

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    let snapshot = context.snapshot;
    let judged = judge::all(&snapshot.repositories, context.paths);
    let accepted = &context.policy.repositories;
    let mut findings: Vec<Finding> = snapshot
        .repositories
        .iter()
        .zip(&judged)
        .map(|(observation, judged)| {
            let accepts = (accepted.accept_unproven && is_silent(judged))
                || (context.policy.accept_claims && judged.volume == Some(Verdict::Claimed));
            one(observation, judged, accepts)
        })
        .collect();
    findings.extend(snapshot.unlisted.iter().map(|unlisted| {
        let summary =
            format!("which repositories are registered is not known: {}", unlisted.detail);
        Finding {
            reasons: vec![Reason::NoPermission],
            remedy: unlisted.remedy.clone(),
            // Nothing was seen that is plain: most clusters have a repository, and some have none.
            severity: Severity::Low,
            ..finding(
                &CHECK,
                &format!("repositories:{}", unlisted.service),
                Outcome::Unknown,
                summary,
            )
        }
    }));
    findings.extend(listed(snapshot));
    findings
}

/// That the repositories of a service are known: what was unknown once is known again only when it is said.
fn listed(snapshot: &Snapshot) -> impl Iterator<Item = Finding> {
    let is_told = |sight: &&Sight| {
        matches!(sight.seen, Seen::Told { .. })
            && snapshot.unlisted.iter().all(|unlisted| unlisted.service != sight.service)
    };
    snapshot.sights.iter().filter(is_told).map(|sight| {
        let its = snapshot.services.iter().find(|service| service.name == sight.service);
        let cluster = its.and_then(|service| service.cluster_name.as_ref());
        // Nodes of one cluster have the same repositories, and each is listed once.
        let count = snapshot.repositories.iter().filter(|one| {
            let registered = &one.registered;
            registered.service.as_ref() == Some(&sight.service)
                || (cluster.is_some() && registered.cluster.as_ref() == cluster)
        });
        let summary = format!("the repositories that are registered are known: {}", count.count());
        finding(&CHECK, &format!("repositories:{}", sight.service), Outcome::Pass, summary)
    })
}

/// Whether it is the store that does not say. That the agent could not ask is nothing to accept.
fn is_silent(judged: &Judged) -> bool {
    let is_silence =
        |reason: &Reason| matches!(reason, Reason::ServerClaim | Reason::RemoteFilesystem);
    judged.reasons.iter().any(is_silence)
}

fn one(observation: &Observation, judged: &Judged, accepts_unproven: bool) -> Finding {
    let outcome = match judged.encryption {
        Encryption::ClientSide | Encryption::CustomerKey | Encryption::ProviderKey => Outcome::Pass,
        Encryption::Plaintext => Outcome::Fail,
        Encryption::Unproven if judged.elsewhere.is_some() => Outcome::NotApplicable,
        Encryption::Unproven if accepts_unproven => Outcome::Pass,
        Encryption::Unproven | Encryption::Unreachable => Outcome::Unknown,
    };
    let registered = &observation.registered;
    let location = &observation.backend;
    let is_accepted = outcome == Outcome::Pass && judged.encryption == Encryption::Unproven;
    let accepted = if is_accepted { ", which the policy accepts" } else { "" };
    let summary = format!(
        "{} ({}, {location}): {}{accepted}: {}",
        registered.name, registered.kind, judged.encryption, judged.evidence
    );
    let base = finding(&CHECK, &observation.asset, outcome, summary);
    Finding {
        reasons: judged.reasons.clone(),
        remedy: match outcome {
            Outcome::Fail if judged.volume.is_some() => {
                "move the repository onto an encrypted volume, or encrypt the device that is named"
                    .to_owned()
            }
            Outcome::Unknown => judged.remedy.clone(),
            Outcome::Fail | Outcome::Pass | Outcome::NotApplicable => base.remedy.clone(),
        },
        evidence: evidence(observation, judged),
        ..base
    }
}

/// What was asked and what was answered, for an auditor.
fn evidence(observation: &Observation, judged: &Judged) -> BTreeMap<String, String> {
    let mut evidence = BTreeMap::from([
        ("encryption".to_owned(), judged.encryption.to_string()),
        ("location".to_owned(), observation.backend.to_string()),
        ("source".to_owned(), observation.registered.source.as_str().to_owned()),
    ]);
    if !judged.keys.is_empty() {
        evidence.insert("keys".to_owned(), judged.keys.join(", "));
    }
    if !judged.plain.is_empty() {
        evidence.insert("plain".to_owned(), judge::named(&judged.plain));
    }
    if let Some(Looked::Told(facts)) = &observation.looked {
        evidence.extend(of_store(facts));
    }
    evidence
}

fn of_store(facts: &Facts) -> Vec<(String, String)> {
    let sample = &facts.sample;
    let mut evidence = vec![
        ("objects_asked".to_owned(), sample.objects.len().to_string()),
        ("objects_listed".to_owned(), sample.listed.to_string()),
        ("listing_complete".to_owned(), sample.is_complete.to_string()),
        ("requests".to_owned(), facts.requests.to_string()),
    ];
    let ages = sample.objects.iter().filter_map(|object| object.written_at);
    if let Some(oldest) = ages.min() {
        evidence.push(("oldest_asked".to_owned(), oldest.to_string()));
    }
    if !sample.cut.is_empty() {
        evidence.push(("not_covered".to_owned(), sample.cut.join("; ")));
    }
    if let Some(refusal) = facts.refuses_plain.known() {
        let refusal = match refusal {
            crate::repository::facts::Refusal::Plain => "writes that ask for no encryption",
            crate::repository::facts::Refusal::AllButKeyService => {
                "writes without a key of the key service"
            }
        };
        evidence.push(("policy_refuses".to_owned(), refusal.to_owned()));
    }
    evidence
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::judge::fixture::judged;
    use crate::repository::kind::{self, Surroundings, fixture::registered};

    fn outcome(judged: &Judged, accepts: bool) -> Finding {
        let registered = registered("s3", &[("bucket", "b")]);
        let backend = kind::backend(&registered, &Surroundings::default());
        let asset = "repository:prod/r".to_owned();
        one(&Observation { asset, registered, backend, looked: None }, judged, accepts)
    }

    #[test]
    fn each_encryption_has_its_outcome() {
        use Encryption::{ClientSide, CustomerKey, Plaintext, ProviderKey, Unproven, Unreachable};
        for (encryption, expected, accepted) in [
            (ClientSide, Outcome::Pass, Outcome::Pass),
            (CustomerKey, Outcome::Pass, Outcome::Pass),
            (ProviderKey, Outcome::Pass, Outcome::Pass),
            (Plaintext, Outcome::Fail, Outcome::Fail),
            (Unproven, Outcome::Unknown, Outcome::Pass),
            (Unreachable, Outcome::Unknown, Outcome::Unknown),
        ] {
            assert_eq!(outcome(&judged(encryption), false).outcome, expected, "{encryption}");
            assert_eq!(outcome(&judged(encryption), true).outcome, accepted, "{encryption}");
        }
    }

    #[test]
    fn that_repositories_are_known_is_said_once_the_node_has_told() {
        let told = |service: &str| Sight {
            service: service.to_owned(),
            seen: Seen::Told { memory_locked: None },
        };
        let mut snapshot =
            Snapshot { sights: vec![told("es"), told("other")], ..Snapshot::empty() };
        snapshot.unlisted.push(crate::repository::Unlisted {
            service: "other".to_owned(),
            detail: "the node did not tell".to_owned(),
            remedy: String::new(),
        });
        let told: Vec<Finding> = listed(&snapshot).collect();
        let [finding] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((finding.asset.as_str(), finding.outcome), ("repositories:es", Outcome::Pass));
        assert!(finding.summary.ends_with(": 0"), "{}", finding.summary);
    }

    #[test]
    fn another_agent_answers_for_it() {
        let elsewhere =
            Judged { elsewhere: Some("es-02".to_owned()), ..judged(Encryption::Unproven) };
        assert_eq!(outcome(&elsewhere, false).outcome, Outcome::NotApplicable);
    }

    #[test]
    fn only_a_stores_own_silence_may_be_accepted() {
        let with = |reason| Judged { reasons: vec![reason], ..judged(Encryption::Unproven) };
        assert!(is_silent(&with(Reason::ServerClaim)));
        assert!(is_silent(&with(Reason::RemoteFilesystem)));
        for reason in [Reason::NoPermission, Reason::Unreadable, Reason::NotFound, Reason::Timeout]
        {
            assert!(!is_silent(&with(reason)), "{reason}");
        }
    }
}
