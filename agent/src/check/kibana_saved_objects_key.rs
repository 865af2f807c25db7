//! `kibana_saved_objects_key`: Kibana encrypts its saved objects with a key that stays, is long enough, and is its own.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Outcome, Reason, Severity};

use super::outcome::{finding, unknown};
use super::{Check, Context, ISO_8_24, NIST_SC_12, NIST_SC_28_1, SOC2_CC6_1};
use crate::secrets::{Form, KeyFacts, Observation, Value};
use crate::snapshot::{Namespace, Observed};

pub(super) const CHECK: Check = Check {
    id: "kibana_saved_objects_key",
    title: "Kibana encrypts its saved objects with a key of its own",
    why: "Connectors, alerting rules and Fleet keep passwords and API keys in saved objects. Without a key that stays, \
          Kibana makes one at each start and cannot read them again; with one that everybody knows they are open to \
          whoever reads the index.",
    decides: "Looks for `xpack.encryptedSavedObjects.encryptionKey` in kibana.yml, in the environment and in the \
              arguments: it must be there, have 32 characters, and be none that everybody knows. Keys of \
              `keyRotation.decryptionOnlyKeys` must be as long and other than it. Where it is in no file and there is \
              a keystore, it may be in that one, which is unknown. Keys are compared where they are read and not kept.",
    severity: Severity::Medium,
    remedy: "make keys with `/usr/share/kibana/bin/kibana-encryption-keys generate` and put them into the keystore: \
             `/usr/share/kibana/bin/kibana-keystore add xpack.encryptedSavedObjects.encryptionKey`",
    controls: &[NIST_SC_12, NIST_SC_28_1, ISO_8_24, SOC2_CC6_1],
    evaluate,
};

const SETTING: &str = "xpack.encryptedSavedObjects.encryptionKey";

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    // All places of one Kibana together: several files of settings, the environment, the arguments.
    let mut instances: BTreeMap<(&Namespace, &str), Vec<&Observation>> = BTreeMap::new();
    let own = context.snapshot.secrets.iter().filter(|seen| seen.place.product == "kibana");
    for seen in own.clone().filter(|seen| is_main(seen)) {
        instances.entry((&seen.place.namespace, service(seen))).or_default().push(seen);
    }
    for ((_, name), places) in &mut instances {
        // What is in /proc is seen in the host's namespace.
        let memory = own.clone().filter(|seen| seen.place.form.is_memory());
        places.extend(memory.filter(|seen| service(seen) == *name));
    }
    instances.values().filter_map(|places| judge(places)).collect()
}

/// A file of settings that Kibana reads, and no copy of one.
fn is_main(seen: &Observation) -> bool {
    let is_usual = seen.place.path.file_name() == Some(b"kibana.yml");
    seen.place.form == Form::Yaml && (seen.is_named || is_usual)
}

fn service(seen: &Observation) -> &str {
    seen.place.service.as_ref().unwrap_or(&seen.place.product)
}

fn judge(places: &[&Observation]) -> Option<Finding> {
    let asset = format!("setting:{SETTING}@{}", service(places.first()?));
    let keys = |of: fn(&Observation) -> &[KeyFacts]| -> Vec<(&Observation, &KeyFacts)> {
        places.iter().flat_map(|seen| of(seen).iter().map(|key| (*seen, key))).collect()
    };
    let primary = keys(primary);
    let retired = keys(retired);
    let mut problems = Vec::new();
    let mut severity = CHECK.severity;
    for (seen, key) in &primary {
        let at = at(seen, key);
        if key.is_development_default || key.value == Value::WellKnown {
            severity = Severity::High;
            problems.push(format!("the key {at} is one that everybody knows"));
        } else if key.value == Value::Set && !key.is_long_enough {
            problems.push(format!("the key {at} has fewer than 32 characters"));
        }
    }
    for (seen, key) in &retired {
        let at = at(seen, key);
        if key.is_primary {
            problems.push(format!("the key for decryption only {at} is the one that encrypts"));
        } else if key.value == Value::Set && !key.is_long_enough {
            problems.push(format!("the key for decryption only {at} has fewer than 32 characters"));
        }
    }
    if !problems.is_empty() {
        let summary = problems.join("; ");
        return Some(Finding { severity, ..finding(&CHECK, &asset, Outcome::Fail, summary) });
    }
    if primary.is_empty() {
        return not_set(places, &asset);
    }
    // A reference leads to the keystore or the environment.
    let unseen = primary.iter().chain(&retired).find(|(_, key)| key.value == Value::Reference);
    if let Some((seen, key)) = unseen {
        let at = at(seen, key);
        let summary = format!("the key {at} is a reference, and what it leads to is not known");
        return Some(Finding {
            reasons: vec![Reason::Unreadable],
            ..finding(&CHECK, &asset, Outcome::Unknown, summary)
        });
    }
    let places: Vec<String> = primary.iter().map(|(seen, key)| at(seen, key)).collect();
    let summary = format!("a key of at least 32 characters is set {}", places.join(" and "));
    Some(finding(&CHECK, &asset, Outcome::Pass, summary))
}

fn not_set(places: &[&Observation], asset: &str) -> Option<Finding> {
    let main = places.first()?;
    let path = &main.place.path;
    if matches!(main.contents, Observed::Absent) {
        let summary = format!("there is no file {path}");
        return Some(finding(&CHECK, asset, Outcome::NotApplicable, summary));
    }
    if let Some(trouble) = places.iter().find_map(|seen| seen.contents.trouble()) {
        let what = format!("whether {SETTING} is set");
        return Some(unknown(&CHECK, asset, &what, trouble));
    }
    let broken =
        places.iter().find_map(|seen| Some((&seen.place.path, seen.contents.known()?.broken_at?)));
    let why = if let Some((path, line)) = broken {
        format!("{path} makes no sense from line {line} on: whether it sets {SETTING} is not known")
    } else if places.iter().any(|seen| seen.has_keystore) {
        format!(
            "{path} does not set {SETTING}; it may be in the keystore, whose entries cannot be seen"
        )
    } else {
        let summary = format!(
            "nothing sets {SETTING}: Kibana makes a key at each start, and cannot read what it encrypted before"
        );
        return Some(finding(&CHECK, asset, Outcome::Fail, summary));
    };
    Some(Finding {
        reasons: vec![Reason::Unreadable],
        remedy: "`/usr/share/kibana/bin/kibana-keystore list` tells whether it is there".to_owned(),
        ..finding(&CHECK, asset, Outcome::Unknown, why)
    })
}

fn primary(seen: &Observation) -> &[KeyFacts] {
    seen.contents.known().map_or(&[], |contents| contents.saved_objects_keys.primary.as_slice())
}

fn retired(seen: &Observation) -> &[KeyFacts] {
    seen.contents.known().map_or(&[], |contents| contents.saved_objects_keys.retired.as_slice())
}

fn at(seen: &Observation, key: &KeyFacts) -> String {
    match (seen.place.form, key.line) {
        (Form::Environment, _) => "in the environment".to_owned(),
        (Form::Arguments, _) => "on the command line".to_owned(),
        (_, Some(line)) => format!("on line {line} of {}", seen.place.path),
        (_, None) => format!("in {}", seen.place.path),
    }
}

#[cfg(test)]
mod tests {
    use super::super::secret_fixture::observation;
    use super::*;
    use crate::secrets::{Contents, SavedObjectsKeys};
    use crate::snapshot::Trouble;

    fn key(value: Value) -> KeyFacts {
        KeyFacts {
            line: Some(3),
            value,
            is_long_enough: true,
            is_development_default: false,
            is_primary: false,
        }
    }

    fn kibana(primary: Vec<KeyFacts>, retired: Vec<KeyFacts>) -> Observation {
        let saved_objects_keys = SavedObjectsKeys { primary, retired };
        let contents = Contents { saved_objects_keys, ..Contents::default() };
        let mut seen = observation(Form::Yaml, "/etc/kibana/kibana.yml", contents);
        seen.place.product = "kibana".to_owned();
        seen.place.service = Some("kibana".to_owned());
        seen.has_keystore = false;
        seen
    }

    fn outcome(primary: Vec<KeyFacts>, retired: Vec<KeyFacts>) -> Outcome {
        judge(&[&kibana(primary, retired)]).unwrap().outcome
    }

    #[test]
    fn a_key_that_is_long_and_its_own_passes() {
        assert_eq!(outcome(vec![key(Value::Set)], vec![key(Value::Set)]), Outcome::Pass);
    }

    #[test]
    fn short_and_known_keys_fail() {
        let short = KeyFacts { is_long_enough: false, ..key(Value::Set) };
        assert_eq!(outcome(vec![short.clone()], Vec::new()), Outcome::Fail);
        let default = KeyFacts { is_development_default: true, ..key(Value::WellKnown) };
        let finding = judge(&[&kibana(vec![default], Vec::new())]).unwrap();
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::High));
        assert_eq!(outcome(vec![key(Value::Set)], vec![short]), Outcome::Fail);
        let same = KeyFacts { is_primary: true, ..key(Value::Set) };
        assert_eq!(outcome(vec![key(Value::Set)], vec![same]), Outcome::Fail);
    }

    #[test]
    fn without_a_key_a_keystore_makes_the_difference() {
        assert_eq!(outcome(Vec::new(), Vec::new()), Outcome::Fail);
        let seen = Observation { has_keystore: true, ..kibana(Vec::new(), Vec::new()) };
        let finding = judge(&[&seen]).unwrap();
        assert_eq!(finding.outcome, Outcome::Unknown);
        assert!(finding.summary.contains("keystore"));
    }

    #[test]
    fn the_environment_counts() {
        let mut environment = kibana(vec![key(Value::Set)], Vec::new());
        environment.place.form = Form::Environment;
        let finding = judge(&[&kibana(Vec::new(), Vec::new()), &environment]).unwrap();
        assert_eq!(finding.outcome, Outcome::Pass);
        assert!(finding.summary.contains("in the environment"));
    }

    #[test]
    fn one_kibana_with_several_places_has_one_finding() {
        let mut environment = kibana(vec![key(Value::Set)], Vec::new());
        environment.place.form = Form::Environment;
        let mut second = kibana(Vec::new(), Vec::new());
        second.place.path = "/etc/kibana/kibana.local.yml".into();
        let mut copy = kibana(vec![key(Value::WellKnown)], Vec::new());
        copy.place.path = "/etc/kibana/kibana.yml.bak".into();
        copy.is_named = false;
        let snapshot = crate::snapshot::Snapshot {
            secrets: vec![environment, kibana(Vec::new(), Vec::new()), second, copy],
            ..crate::snapshot::Snapshot::empty()
        };
        let posture = crate::posture::evaluate(&snapshot, &crate::policy::Policy::default());
        let own = posture.findings.iter().filter(|finding| finding.check == CHECK.id);
        assert_eq!(own.map(|finding| finding.outcome).collect::<Vec<_>>(), [Outcome::Pass]);
    }

    #[test]
    fn what_cannot_be_seen_is_unknown_and_what_is_not_there_not_applicable() {
        assert_eq!(outcome(vec![key(Value::Reference)], Vec::new()), Outcome::Unknown);
        let with = |contents| {
            judge(&[&Observation { contents, ..kibana(Vec::new(), Vec::new()) }]).unwrap().outcome
        };
        let trouble = Trouble::new(Reason::NoPermission, "no");
        assert_eq!(with(Observed::Unreadable(trouble)), Outcome::Unknown);
        let broken = Contents { broken_at: Some(3), ..Contents::default() };
        assert_eq!(with(Observed::Known(broken)), Outcome::Unknown);
        assert_eq!(with(Observed::Absent), Outcome::NotApplicable);
    }
}
