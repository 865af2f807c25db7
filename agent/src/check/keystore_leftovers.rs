//! `keystore_leftovers`: no copy of a keystore lies about.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Outcome, Severity, Verdict};

use super::keystore_access::{Owner, clauses, severity, shell, shut};
use super::outcome::{finding, unknown};
use super::{CIS_3_11, Check, Context, ISO_8_24, NIST_SC_12, NIST_SC_28_1, SOC2_CC6_1};
use crate::keystore::leftover::{Kind, Leftover};
use crate::keystore::{Observation, Protection};
use crate::path::HostPath;
use crate::posture::keystore_asset;
use crate::snapshot::{Namespace, Observed};

pub(super) const CHECK: Check = Check {
    id: "keystore_leftovers",
    title: "No copy of a keystore lies beside it",
    why: "Interrupted saves, backups, and what editors and package managers leave hold the same secrets, or older ones \
          that still work. Nobody changes their mode or their password when those of the keystore are changed.",
    decides: "Looks through the directory of the keystore, and that of a link to it, for files whose name begins with its \
              name and for files that are such a keystore by their bytes, and reads their mode, owner and \
              access-control list as those of the keystore. Of Kibana also whether it has two keystores. The digest that \
              packages keep, `.NAME.initial_md5sum`, is no leftover. In a directory with too many files not all are \
              looked into; then it is unknown that there is none.",
    severity: Severity::Medium,
    remedy: "make sure that nothing needs them, then delete the files that are named",
    controls: &[NIST_SC_28_1, NIST_SC_12, ISO_8_24, SOC2_CC6_1, CIS_3_11],
    evaluate,
};

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    let volumes = context.keystore_volumes.iter().map(|volume| volume.verdict);
    let volumes = volumes.chain(std::iter::repeat(Verdict::Unknown));
    let all = &context.snapshot.keystores;
    all.iter().zip(volumes).map(|(keystore, volume)| judge(keystore, volume, all)).collect()
}

fn judge(keystore: &Observation, volume: Verdict, all: &[Observation]) -> Finding {
    let asset = keystore_asset(keystore);
    let path = &keystore.path;
    let leftovers = &keystore.leftovers;
    // What is a keystore of a service itself has findings of its own.
    let is_known = |one: &&Leftover| {
        !all.iter().any(|other| {
            other.namespace == keystore.namespace
                && (other.path == one.path
                    || other.resolved.as_ref().is_some_and(|real| real.path == one.path))
        })
    };
    let found: Vec<&Leftover> = leftovers.found.iter().filter(is_known).collect();
    let twin = twin(keystore, all);
    if found.is_empty() && twin.is_none() {
        return match (leftovers.troubles.first(), &leftovers.cut) {
            (Some(trouble), _) => {
                unknown(&CHECK, &asset, &format!("what lies beside {path}"), trouble)
            }
            (None, Some(cut)) => {
                let summary = format!("nothing was seen beside {path}, but {cut}");
                finding(&CHECK, &asset, Outcome::Unknown, summary)
            }
            (None, None) if matches!(keystore.file, Observed::Absent) => {
                let summary = format!("there is no keystore at {path}, nor what is left of one");
                finding(&CHECK, &asset, Outcome::NotApplicable, summary)
            }
            (None, None) => {
                let summary = format!("no copy of {path} lies beside it");
                finding(&CHECK, &asset, Outcome::Pass, summary)
            }
        };
    }
    let is_encrypted = matches!(volume, Verdict::Encrypted | Verdict::Volatile);
    let owner = Owner::of(keystore);
    let mut parts = Vec::new();
    let mut evidence = BTreeMap::new();
    let mut worst = Severity::Low;
    for one in &found {
        let problems = owner.file(&one.path, &one.access, shut(keystore));
        let mut part = format!("{} is {}", one.path, what(one));
        if let Some(opens) = opens(one) {
            part = format!("{part}, {opens}");
        }
        if !problems.is_empty() {
            part = format!("{part} ({})", clauses(&problems));
        }
        let mode = one.access.metadata.mode;
        let (user, group) = (&one.access.owner, &one.access.group);
        evidence.insert(one.path.to_string(), format!("{user}:{group} {mode:04o}, {}", what(one)));
        worst = worst.max(severity(&problems)).max(weight(one, is_encrypted));
        parts.push(part);
    }
    if let Some(twin) = twin {
        parts.push(format!(
            "there is another one at {twin}: Kibana reads the one in its data directory, if there is one, and not the other"
        ));
        evidence.insert(twin.to_string(), "another keystore".to_owned());
    }
    if let Some(cut) = &leftovers.cut {
        parts.push(cut.clone());
        evidence.insert("not_looked_at".to_owned(), cut.clone());
    }
    let summary = format!("beside {path}: {}", parts.join("; "));
    Finding {
        severity: worst,
        remedy: remedy(&found, twin, is_encrypted, &keystore.namespace),
        evidence,
        ..finding(&CHECK, &asset, Outcome::Fail, summary)
    }
}

/// Another keystore of the same service under the same name.
fn twin<'a>(keystore: &Observation, all: &'a [Observation]) -> Option<&'a HostPath> {
    let is_there = |one: &Observation| one.file.known().is_some();
    if keystore.format != "kibana" || !is_there(keystore) {
        return None;
    }
    let real = |one: &'a Observation| one.resolved.as_ref().map_or(&one.path, |at| &at.path);
    let own = keystore.resolved.as_ref().map_or(&keystore.path, |at| &at.path);
    all.iter()
        .find(|other| {
            is_there(other)
                && other.format == keystore.format
                && other.service == keystore.service
                && other.namespace == keystore.namespace
                && real(other) != own
        })
        .map(|other| &other.path)
}

const fn what(one: &Leftover) -> &'static str {
    match one.kind {
        Kind::Interrupted => "what an interrupted save left",
        Kind::AutoConfiguration => "the backup that the automatic configuration of security made",
        Kind::Package => "what a package manager left",
        Kind::Editor => "what an editor left",
        Kind::Copy => "a copy by its name",
        Kind::OtherName => "a keystore under another name",
        Kind::Plain => "what Elastic Agent kept in clear before it encrypted that",
    }
}

/// What trying to open it showed.
fn opens(one: &Leftover) -> Option<&'static str> {
    match one.contents.as_ref()?.protection() {
        Protection::Password => Some("with a password"),
        Protection::None | Protection::FalseFlag => Some("which opens without a password"),
        Protection::MissingFlag | Protection::Unknown => None,
    }
}

/// How much a leftover matters beside who may read it.
fn weight(one: &Leftover, is_encrypted: bool) -> Severity {
    let has_password =
        one.contents.as_ref().is_some_and(|found| found.protection() == Protection::Password);
    match (one.kind, is_encrypted) {
        (Kind::Plain, false) => Severity::High,
        (Kind::Plain, true) => CHECK.severity,
        _ if is_encrypted || has_password => Severity::Low,
        _ => CHECK.severity,
    }
}

fn remedy(
    found: &[&Leftover],
    twin: Option<&HostPath>,
    is_encrypted: bool,
    namespace: &Namespace,
) -> String {
    let mut steps = Vec::new();
    if !found.is_empty() {
        let files: Vec<String> = found.iter().map(|one| shell(&one.path)).collect();
        let wherever = match namespace {
            Namespace::Host => "",
            Namespace::Process(_) => {
                " as the service sees its files: where it runs in a container, inside of it"
            }
        };
        let (tool, after) = if is_encrypted {
            ("rm", "")
        } else {
            (
                "shred -u",
                ". On an SSD, and on a file system that copies on write, the bytes may stay all the same: change the \
                 secrets that were in them",
            )
        };
        steps.push(format!(
            "make sure that nothing needs them, then `{tool} {}`{wherever}{after}",
            files.join(" ")
        ));
    }
    if let Some(twin) = twin {
        steps.push(format!(
            "keep one keystore: move what is missing into it, and delete {twin} or the other"
        ));
    }
    steps.join("; ")
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::super::keystore_fixture::{access, keystore};
    use super::*;
    use crate::host::FileKind;
    use crate::snapshot::Trouble;

    fn leftover(name: &str, kind: Kind, mode: u32, opens: Option<bool>) -> Leftover {
        let contents = opens.map(|opens| {
            let mut contents =
                keystore("elasticsearch", 7, Some(!opens)).contents.known().unwrap().clone();
            contents.opens_without_password = Some(opens);
            contents
        });
        Leftover {
            path: HostPath::from(format!("/etc/elasticsearch/{name}")),
            kind,
            access: access(FileKind::File, mode, 0, 102),
            contents,
        }
    }

    fn with(found: Vec<Leftover>, volume: Verdict) -> Finding {
        let mut keystore = keystore("elasticsearch", 7, Some(true));
        keystore.leftovers.found = found;
        judge(&keystore, volume, std::slice::from_ref(&keystore))
    }

    #[test]
    fn nothing_beside_it_passes() {
        assert_eq!(with(Vec::new(), Verdict::Unencrypted).outcome, Outcome::Pass);
    }

    #[test]
    fn each_is_named_with_what_it_is_and_how_to_delete_it() {
        let found = || {
            vec![
                leftover("elasticsearch.keystore.tmp", Kind::Interrupted, 0o660, None),
                leftover("my old one", Kind::OtherName, 0o660, Some(true)),
            ]
        };
        let plain = with(found(), Verdict::Unencrypted);
        assert_eq!((plain.outcome, plain.severity), (Outcome::Fail, Severity::Medium));
        assert!(plain.summary.contains("what an interrupted save left"));
        assert!(plain.summary.contains("which opens without a password"));
        assert!(plain.remedy.contains(
            "`shred -u /etc/elasticsearch/elasticsearch.keystore.tmp '/etc/elasticsearch/my old one'`"
        ));
        assert!(plain.remedy.contains("SSD"));
        let encrypted = with(found(), Verdict::Encrypted);
        assert_eq!((encrypted.outcome, encrypted.severity), (Outcome::Fail, Severity::Low));
        assert!(encrypted.remedy.contains("`rm /etc/") && !encrypted.remedy.contains("SSD"));
    }

    #[test]
    fn one_that_others_may_read_is_worse() {
        let found = vec![leftover("elasticsearch.keystore.bak", Kind::Copy, 0o644, Some(false))];
        let finding = with(found, Verdict::Encrypted);
        assert_eq!(finding.severity, Severity::High);
        assert!(finding.summary.contains("others may read it"), "{}", finding.summary);
    }

    #[test]
    fn what_agents_kept_in_clear_is_worst() {
        let found = || vec![leftover("fleet.yml", Kind::Plain, 0o600, None)];
        assert_eq!(with(found(), Verdict::Unencrypted).severity, Severity::High);
        assert_eq!(with(found(), Verdict::Encrypted).severity, Severity::Medium);
    }

    #[test]
    fn what_was_not_looked_at_never_passes() {
        let mut keystore = keystore("elasticsearch", 7, Some(true));
        keystore.leftovers.cut = Some("/etc holds too many".to_owned());
        let all = [keystore.clone()];
        assert_eq!(judge(&keystore, Verdict::Encrypted, &all).outcome, Outcome::Unknown);
        keystore.leftovers.cut = None;
        keystore.leftovers.troubles = vec![Trouble::new(Reason::NoPermission, "Permission denied")];
        let finding = judge(&keystore, Verdict::Encrypted, &all);
        assert_eq!(
            (finding.outcome, finding.reasons),
            (Outcome::Unknown, vec![Reason::NoPermission])
        );
        keystore.leftovers.found =
            vec![leftover("elasticsearch.keystore.tmp", Kind::Interrupted, 0o660, None)];
        assert_eq!(judge(&keystore, Verdict::Encrypted, &all).outcome, Outcome::Fail);
    }

    #[test]
    fn a_keystore_of_its_own_is_no_leftover() {
        let mut one = keystore("elasticsearch", 7, Some(true));
        one.leftovers.found = vec![leftover("other", Kind::OtherName, 0o660, Some(false))];
        let mut other = one.clone();
        other.path = HostPath::from("/etc/elasticsearch/other");
        let all = [one.clone(), other];
        assert_eq!(judge(&one, Verdict::Encrypted, &all).outcome, Outcome::Pass);
    }

    #[test]
    fn two_keystores_of_one_kibana_are_one_too_many() {
        let mut one = keystore("kibana", 1, Some(true));
        one.path = HostPath::from("/etc/kibana/kibana.keystore");
        let mut other = one.clone();
        other.path = HostPath::from("/var/lib/kibana/kibana.keystore");
        let finding = judge(&one, Verdict::Encrypted, &[one.clone(), other.clone()]);
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.summary.contains("/var/lib/kibana/kibana.keystore"));
        other.file = Observed::Absent;
        let finding = judge(&one, Verdict::Encrypted, &[one.clone(), other]);
        assert_eq!(finding.outcome, Outcome::Pass);
    }

    #[test]
    fn a_keystore_that_is_gone_may_have_left_something() {
        let mut absent = keystore("elasticsearch", 7, None);
        absent.file = Observed::Absent;
        let all = [absent.clone()];
        assert_eq!(judge(&absent, Verdict::Encrypted, &all).outcome, Outcome::NotApplicable);
        absent.leftovers.found =
            vec![leftover("elasticsearch.keystore.bak", Kind::Copy, 0o660, Some(true))];
        assert_eq!(judge(&absent, Verdict::Encrypted, &all).outcome, Outcome::Fail);
    }
}
