//! `repository_old_objects`: what was written to a repository long ago is encrypted as what is written now.

use atrest_proto::model::{Finding, Outcome, Severity};

use super::outcome::finding;
use super::{Check, Context, HIPAA_312, NIST_CP_9_8, NIST_SC_28_1};
use crate::repository::facts::{Facts, KeyManager, Seal, SealKey};
use crate::repository::judge::{self, Encryption, Judged, named, show};
use crate::repository::{Looked, Observation};
use crate::snapshot::Observed;

pub(super) const CHECK: Check = Check {
    id: "repository_old_objects",
    title: "Old objects of a repository are encrypted as new ones",
    why: "A default binds what is written after it was set. Snapshots are incremental: segments of the first one are kept \
          for as long as any snapshot needs them, as they were written.",
    decides: "Looks at a sample of the objects, the oldest first. Fails when the store encrypts by default and an object \
              does not have that, or, where a customer's key is demanded, has another. Unknown when no object could be \
              asked about.",
    severity: Severity::High,
    remedy: "copy the objects that are named onto themselves (for S3: `aws s3 cp --recursive s3://BUCKET/BASE \
             s3://BUCKET/BASE`, while no snapshot runs), or register a new repository and take a full snapshot there",
    controls: &[NIST_SC_28_1, NIST_CP_9_8, HIPAA_312],
    evaluate,
};

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    let snapshot = context.snapshot;
    let is_demanded = context.policy.repositories.require_customer_key;
    let judged = judge::all(&snapshot.repositories, context.paths);
    let pairs = snapshot.repositories.iter().zip(&judged);
    pairs.filter_map(|(observation, judged)| one(observation, judged, is_demanded)).collect()
}

/// `None` where there are no objects of different age to be told apart.
fn one(observation: &Observation, judged: &Judged, is_demanded: bool) -> Option<Finding> {
    let Some(Looked::Told(facts)) = &observation.looked else { return None };
    let make = |outcome, summary| finding(&CHECK, &observation.asset, outcome, summary);
    if judged.encryption == Encryption::ClientSide {
        return Some(make(Outcome::NotApplicable, judged.evidence.clone()));
    }
    let asked = facts.sample.objects.len();
    let oldest = facts.sample.objects.iter().filter_map(|object| object.written_at).min();
    let since = oldest.map(|oldest| format!(", the oldest of {oldest}")).unwrap_or_default();
    if !judged.plain.is_empty() {
        let is_default = facts.default.known().is_some();
        let is_newer = facts.sample.objects.iter().any(|object| object.seal.known().is_some());
        return Some(if is_default || is_newer {
            make(
                Outcome::Fail,
                format!("new objects are encrypted, and these are not: {}", named(&judged.plain)),
            )
        } else {
            make(
                Outcome::NotApplicable,
                "new objects are not encrypted either: see repository_encrypted".to_owned(),
            )
        });
    }
    let weaker: Vec<String> = facts
        .sample
        .objects
        .iter()
        .filter(|object| object.seal.known().is_some_and(|seal| !is_customers(facts, seal)))
        .map(|object| object.name.clone())
        .collect();
    // What an imitation says of keys is no more proof of a fault than of none.
    let default = facts
        .default
        .known()
        .filter(|seal| is_customers(facts, seal) && !facts.provider.is_imitation());
    if let Some(default) = default.filter(|_| is_demanded && !weaker.is_empty()) {
        let summary = format!(
            "new objects get {}, and these have a provider's key: {}",
            show(default),
            named(&weaker)
        );
        return Some(make(Outcome::Fail, summary));
    }
    if judged.encryption == Encryption::Unproven || judged.encryption == Encryption::Unreachable {
        return Some(Finding {
            reasons: judged.reasons.clone(),
            remedy: judged.remedy.clone(),
            ..make(Outcome::Unknown, judged.evidence.clone())
        });
    }
    let all = if facts.sample.is_complete { "" } else { "at least " };
    let listed = facts.sample.listed;
    Some(make(
        Outcome::Pass,
        format!("all {asked} objects asked about are encrypted, of {all}{listed}{since}"),
    ))
}

fn is_customers(facts: &Facts, seal: &Seal) -> bool {
    match &seal.key {
        SealKey::Customer(_) | SealKey::Supplied => true,
        SealKey::Named(name) => matches!(
            facts.keys.get(name),
            Some(Observed::Known(key)) if key.manager == KeyManager::Customer
        ),
        SealKey::Provider | SealKey::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::repository::facts::{KeyFacts, Object, Provider, Sample};
    use crate::repository::kind::{self, Surroundings, fixture::registered};
    use crate::repository::sample::Class;

    fn seal(key: SealKey) -> Observed<Seal> {
        Observed::Known(Seal { algorithm: "x".to_owned(), key })
    }

    fn outcome(default: Observed<Seal>, objects: &[Observed<Seal>], is_demanded: bool) -> Finding {
        let object = |(at, seal): (usize, &Observed<Seal>)| Object {
            name: format!("snap-{at}.dat"),
            class: Class::Snapshot,
            written_at: None,
            seal: seal.clone(),
        };
        let key = KeyFacts {
            manager: KeyManager::Customer,
            owner: None,
            state: "Enabled".to_owned(),
            rotates: None,
        };
        let facts = Facts {
            provider: Provider::Aws,
            default,
            refuses_plain: Observed::Absent,
            keys: BTreeMap::from([("k".to_owned(), Observed::Known(key))]),
            sample: Sample {
                listed: 9,
                objects: objects.iter().enumerate().map(object).collect(),
                ..Sample::default()
            },
            requests: 1,
        };
        let registered = registered("s3", &[("bucket", "b")]);
        let backend = kind::backend(&registered, &Surroundings::default());
        let looked = Some(Looked::Told(Box::new(facts)));
        let observation =
            Observation { asset: "repository:r".to_owned(), registered, backend, looked };
        let judged = judge::judge(&observation, None);
        one(&observation, &judged, is_demanded).unwrap()
    }

    #[test]
    fn an_old_plain_object_fails_with_its_name() {
        let provider = || seal(SealKey::Provider);
        let found = outcome(provider(), &[provider(), Observed::Absent], false);
        assert_eq!(found.outcome, Outcome::Fail);
        assert!(found.summary.contains("snap-1.dat"), "{}", found.summary);
        assert_eq!(outcome(provider(), &[provider()], false).outcome, Outcome::Pass);
        // Nothing is encrypted, old or new.
        let found = outcome(Observed::Absent, &[Observed::Absent], false);
        assert_eq!(found.outcome, Outcome::NotApplicable);
    }

    #[test]
    fn an_old_key_fails_where_the_customers_is_demanded() {
        let named = || seal(SealKey::Named("k".to_owned()));
        let objects = [named(), seal(SealKey::Provider)];
        let found = outcome(named(), &objects, true);
        assert_eq!(found.outcome, Outcome::Fail);
        assert!(found.summary.contains("snap-1.dat"), "{}", found.summary);
        assert_eq!(outcome(named(), &objects, false).outcome, Outcome::Pass);
        assert_eq!(outcome(named(), &objects[..1], true).outcome, Outcome::Pass);
    }

    #[test]
    fn without_an_object_it_is_unknown() {
        assert_eq!(outcome(seal(SealKey::Provider), &[], false).outcome, Outcome::Unknown);
    }
}
