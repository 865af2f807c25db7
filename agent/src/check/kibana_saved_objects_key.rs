//! `kibana_saved_objects_key`: Kibana encrypts its saved objects with a key that stays, is long enough, and is its own.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Outcome, Reason, Severity};

use super::outcome::{finding, unknown};
use super::{Check, Context, ISO_8_24, NIST_SC_12, NIST_SC_28_1, SOC2_CC6_1};
use crate::keystore;
use crate::path::HostPath;
use crate::secrets::{Form, KeyFacts, Observation, SavedObjectsKeys, Value};
use crate::snapshot::{Namespace, Observed};

pub(super) const CHECK: Check = Check {
    id: "kibana_saved_objects_key",
    title: "Kibana encrypts its saved objects with a key of its own",
    why: "Connectors, alerting rules and Fleet keep passwords and API keys in saved objects. Without a key that stays, \
          Kibana makes one at each start and cannot read them again; with one that everybody knows they are open to \
          whoever reads the index.",
    decides: "Looks for `xpack.encryptedSavedObjects.encryptionKey` in kibana.yml, in the environment and in the \
              arguments: it must be there, have 32 characters, and be none that everybody knows. Keys of \
              `keyRotation.decryptionOnlyKeys` must be as long and other than it. A keystore that opens without a password \
              is looked into: what it sets counts before all others. Where the key is in no file and the keystore has a \
              password, it may be in that one, which is unknown. Keys are compared where they are read and not kept.",
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
    let instances = instances.iter().filter_map(|((namespace, name), places)| {
        let keystores = context.snapshot.keystores.iter().filter(|keystore| {
            let whose = keystore.service.as_ref().unwrap_or(&keystore.product);
            keystore.product == "kibana" && whose == name && keystore.namespace == **namespace
        });
        judge(places, &stored(places, keystores.collect()))
    });
    instances.collect()
}

/// What is known of the keystore that Kibana reads.
enum Stored<'a> {
    /// There is none.
    Absent,
    /// It could not be looked into, or it is not known which one it is.
    Unseen(String),
    /// What it sets, which Kibana puts above files, arguments and environment.
    Keys(&'a HostPath, &'a SavedObjectsKeys),
}

fn stored<'a>(
    places: &[&Observation],
    mut keystores: Vec<&'a keystore::Observation>,
) -> Stored<'a> {
    keystores.retain(|keystore| !matches!(keystore.file, Observed::Absent));
    // `getKeystore` of Kibana: the one in the data directory, if there is one, and not that beside the settings.
    let beside = places.first().and_then(|seen| seen.place.path.parent());
    if keystores.len() > 1 {
        let all = keystores.len();
        keystores.retain(|keystore| keystore.path.parent() != beside);
        if keystores.len() + 1 != all {
            return Stored::Unseen(
                "it may be in a keystore, and it is not known which of them Kibana reads"
                    .to_owned(),
            );
        }
    }
    match keystores.as_slice() {
        [] if places.iter().any(|seen| seen.has_keystore) => {
            Stored::Unseen("it may be in the keystore, whose entries cannot be seen".to_owned())
        }
        [] => Stored::Absent,
        [keystore] => {
            let path = &keystore.path;
            match keystore.contents.known().and_then(|contents| contents.entries.as_ref()) {
                Some(entries) if entries.is_whole => {
                    Stored::Keys(path, &entries.saved_objects_keys)
                }
                Some(_) => Stored::Unseen(format!(
                    "it may be in {path}, whose entries were not understood"
                )),
                None => {
                    let why = match keystore
                        .contents
                        .known()
                        .and_then(|one| one.opens_without_password)
                    {
                        Some(_) => "which has a password".to_owned(),
                        None => keystore.contents.trouble().map_or_else(
                            || "which was not tried to be opened".to_owned(),
                            |trouble| format!("which could not be read: {}", trouble.detail),
                        ),
                    };
                    Stored::Unseen(format!("it may be in {path}, {why}"))
                }
            }
        }
        [_, _, ..] => Stored::Unseen("it may be in one of several keystores".to_owned()),
    }
}

/// A file of settings that Kibana reads, and no copy of one.
fn is_main(seen: &Observation) -> bool {
    let is_usual = seen.place.path.file_name() == Some(b"kibana.yml");
    seen.place.form == Form::Yaml && (seen.is_named || is_usual)
}

fn service(seen: &Observation) -> &str {
    seen.place.service.as_ref().unwrap_or(&seen.place.product)
}

fn judge(places: &[&Observation], stored: &Stored<'_>) -> Option<Finding> {
    let asset = format!("setting:{SETTING}@{}", service(places.first()?));
    let keys = |of: fn(&SavedObjectsKeys) -> &[KeyFacts]| -> Vec<(String, &KeyFacts)> {
        let set = places.iter().flat_map(|seen| {
            let keys =
                seen.contents.known().map_or(&[][..], |contents| of(&contents.saved_objects_keys));
            keys.iter().map(|key| (at(seen, key), key))
        });
        set.collect()
    };
    let kept = |of: fn(&SavedObjectsKeys) -> &[KeyFacts]| -> Vec<(String, &KeyFacts)> {
        let Stored::Keys(path, keys) = stored else { return Vec::new() };
        of(keys).iter().map(|key| (format!("in the keystore {path}"), key)).collect()
    };
    let mut primary = kept(|keys| &keys.primary);
    if primary.is_empty() {
        primary = keys(|keys| &keys.primary);
    }
    let mut retired = keys(|keys| &keys.retired);
    retired.extend(kept(|keys| &keys.retired));
    let mut problems = Vec::new();
    let mut severity = CHECK.severity;
    for (at, key) in &primary {
        if key.is_development_default || key.value == Value::WellKnown {
            severity = Severity::High;
            problems.push(format!("the key {at} is one that everybody knows"));
        } else if key.value == Value::Set && !key.is_long_enough {
            problems.push(format!("the key {at} has fewer than 32 characters"));
        }
    }
    for (at, key) in &retired {
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
        return not_set(places, stored, &asset);
    }
    // A reference leads to the keystore or the environment.
    let unseen = primary.iter().chain(&retired).find(|(_, key)| key.value == Value::Reference);
    if let Some((at, _)) = unseen {
        let summary = format!("the key {at} is a reference, and what it leads to is not known");
        return Some(Finding {
            reasons: vec![Reason::Unreadable],
            ..finding(&CHECK, &asset, Outcome::Unknown, summary)
        });
    }
    let places: Vec<&str> = primary.iter().map(|(at, _)| at.as_str()).collect();
    let summary = format!("a key of at least 32 characters is set {}", places.join(" and "));
    Some(finding(&CHECK, &asset, Outcome::Pass, summary))
}

fn not_set(places: &[&Observation], stored: &Stored<'_>, asset: &str) -> Option<Finding> {
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
    } else {
        let who = match stored {
            Stored::Unseen(why) => {
                let summary = format!("{path} does not set {SETTING}; {why}");
                return Some(undecided(asset, summary));
            }
            Stored::Absent => "nothing sets".to_owned(),
            Stored::Keys(keystore, _) => format!("neither {path} nor the keystore {keystore} sets"),
        };
        let summary = format!(
            "{who} {SETTING}: Kibana makes a key at each start, and cannot read what it encrypted before"
        );
        return Some(finding(&CHECK, asset, Outcome::Fail, summary));
    };
    Some(undecided(asset, why))
}

fn undecided(asset: &str, summary: String) -> Finding {
    Finding {
        reasons: vec![Reason::Unreadable],
        remedy: "`/usr/share/kibana/bin/kibana-keystore list` tells whether it is there".to_owned(),
        ..finding(&CHECK, asset, Outcome::Unknown, summary)
    }
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
    use crate::keystore::kibana_entries::Entries;
    use crate::secrets::Contents;
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

    fn judged(places: &[&Observation]) -> Finding {
        judge(places, &stored(places, Vec::new())).unwrap()
    }

    fn outcome(primary: Vec<KeyFacts>, retired: Vec<KeyFacts>) -> Outcome {
        judged(&[&kibana(primary, retired)]).outcome
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
        let finding = judged(&[&kibana(vec![default], Vec::new())]);
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::High));
        assert_eq!(outcome(vec![key(Value::Set)], vec![short]), Outcome::Fail);
        let same = KeyFacts { is_primary: true, ..key(Value::Set) };
        assert_eq!(outcome(vec![key(Value::Set)], vec![same]), Outcome::Fail);
    }

    #[test]
    fn without_a_key_a_keystore_makes_the_difference() {
        assert_eq!(outcome(Vec::new(), Vec::new()), Outcome::Fail);
        let seen = Observation { has_keystore: true, ..kibana(Vec::new(), Vec::new()) };
        let finding = judged(&[&seen]);
        assert_eq!(finding.outcome, Outcome::Unknown);
        assert!(finding.summary.contains("keystore"));
    }

    /// A keystore beside the settings that holds these keys.
    fn keystore(path: &str, primary: Vec<KeyFacts>) -> keystore::Observation {
        let mut keystore = super::super::keystore_fixture::keystore("kibana", 1, None);
        keystore.path = path.into();
        if let Observed::Known(contents) = &mut keystore.contents {
            contents.opens_without_password = Some(true);
            contents.entries = Some(Entries {
                saved_objects_keys: SavedObjectsKeys { primary, retired: Vec::new() },
                is_whole: true,
            });
        }
        keystore
    }

    const BESIDE: &str = "/etc/kibana/kibana.keystore";
    const IN_DATA: &str = "/var/lib/kibana/kibana.keystore";

    fn with(primary: Vec<KeyFacts>, keystores: Vec<keystore::Observation>) -> Finding {
        let seen = Observation { has_keystore: true, ..kibana(primary, Vec::new()) };
        let snapshot = crate::snapshot::Snapshot {
            secrets: vec![seen],
            keystores,
            ..crate::snapshot::Snapshot::empty()
        };
        let posture = crate::posture::evaluate(&snapshot, &crate::policy::Policy::default());
        let mut own = posture.findings.into_iter().filter(|finding| finding.check == CHECK.id);
        own.next().unwrap()
    }

    fn in_keystore(value: Value) -> KeyFacts {
        KeyFacts { line: None, ..key(value) }
    }

    #[test]
    fn a_keystore_that_opens_tells_whether_the_key_is_there() {
        let found = with(Vec::new(), vec![keystore(BESIDE, vec![in_keystore(Value::Set)])]);
        assert_eq!(found.outcome, Outcome::Pass);
        assert!(found.summary.contains("in the keystore /etc/kibana/kibana.keystore"), "{found:?}");
        let found = with(Vec::new(), vec![keystore(BESIDE, Vec::new())]);
        assert_eq!(found.outcome, Outcome::Fail);
        assert!(found.summary.contains("nor the keystore"), "{found:?}");
        let short = KeyFacts { is_long_enough: false, ..in_keystore(Value::Set) };
        assert_eq!(with(Vec::new(), vec![keystore(BESIDE, vec![short])]).outcome, Outcome::Fail);
        let default = KeyFacts { is_development_default: true, ..in_keystore(Value::Set) };
        let found = with(Vec::new(), vec![keystore(BESIDE, vec![default])]);
        assert_eq!((found.outcome, found.severity), (Outcome::Fail, Severity::High));
    }

    #[test]
    fn the_keystore_counts_before_the_settings() {
        let default = KeyFacts { is_development_default: true, ..in_keystore(Value::Set) };
        let found = with(vec![key(Value::Set)], vec![keystore(BESIDE, vec![default.clone()])]);
        assert_eq!(found.outcome, Outcome::Fail);
        let found = with(vec![default], vec![keystore(BESIDE, vec![in_keystore(Value::Set)])]);
        assert_eq!(found.outcome, Outcome::Pass);
        let found = with(vec![key(Value::Set)], vec![keystore(BESIDE, Vec::new())]);
        assert_eq!(found.outcome, Outcome::Pass);
    }

    #[test]
    fn of_two_keystores_the_one_in_the_data_directory_is_read() {
        let set = || vec![in_keystore(Value::Set)];
        let found = with(Vec::new(), vec![keystore(BESIDE, set()), keystore(IN_DATA, Vec::new())]);
        assert_eq!(found.outcome, Outcome::Fail, "{found:?}");
        let found = with(Vec::new(), vec![keystore(BESIDE, Vec::new()), keystore(IN_DATA, set())]);
        assert_eq!(found.outcome, Outcome::Pass);
        let found =
            with(Vec::new(), vec![keystore(IN_DATA, set()), keystore("/x/kibana.keystore", set())]);
        assert_eq!(found.outcome, Outcome::Unknown);
    }

    #[test]
    fn what_a_keystore_does_not_show_is_unknown() {
        let change = |change: fn(&mut keystore::Observation)| {
            let mut keystore = keystore(BESIDE, Vec::new());
            change(&mut keystore);
            with(Vec::new(), vec![keystore])
        };
        let password = change(|keystore| {
            if let Observed::Known(contents) = &mut keystore.contents {
                (contents.opens_without_password, contents.entries) = (Some(false), None);
            }
        });
        assert_eq!(password.outcome, Outcome::Unknown);
        assert!(password.summary.contains("has a password"), "{password:?}");
        let odd = change(|keystore| {
            if let Observed::Known(contents) = &mut keystore.contents {
                contents.entries = Some(Entries::default());
            }
        });
        assert_eq!(odd.outcome, Outcome::Unknown);
        let hidden = change(|keystore| {
            keystore.contents = Observed::Unreadable(Trouble::new(Reason::NoPermission, "denied"));
        });
        assert!(hidden.summary.contains("denied"), "{hidden:?}");
        // One that is gone has no say.
        let gone = change(|keystore| keystore.file = Observed::Absent);
        assert_eq!(gone.outcome, Outcome::Unknown);
        assert!(gone.summary.contains("cannot be seen"));
    }

    #[test]
    fn the_environment_counts() {
        let mut environment = kibana(vec![key(Value::Set)], Vec::new());
        environment.place.form = Form::Environment;
        let finding = judged(&[&kibana(Vec::new(), Vec::new()), &environment]);
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
            judged(&[&Observation { contents, ..kibana(Vec::new(), Vec::new()) }]).outcome
        };
        let trouble = Trouble::new(Reason::NoPermission, "no");
        assert_eq!(with(Observed::Unreadable(trouble)), Outcome::Unknown);
        let broken = Contents { broken_at: Some(3), ..Contents::default() };
        assert_eq!(with(Observed::Known(broken)), Outcome::Unknown);
        assert_eq!(with(Observed::Absent), Outcome::NotApplicable);
    }
}
