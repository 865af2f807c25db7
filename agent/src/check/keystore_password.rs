//! `keystore_password`: a keystore does not open for everyone who can read it.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Outcome, Severity, Use, Verdict};

use super::keystore_access::{Owner, READ, shell};
use super::outcome::{finding, unknown};
use super::{CIS_3_11, Check, Context, ISO_8_24, NIST_SC_12, NIST_SC_28_1, SOC2_CC6_1};
use crate::keystore::password_source::SourceObservation;
use crate::keystore::{Account, Observation, Protection};
use crate::path::HostPath;
use crate::policy::WithoutPassword;
use crate::posture::keystore_asset;
use crate::snapshot::{Namespace, Observed, Target};

pub(super) const CHECK: Check = Check {
    id: "keystore_password",
    title: "A keystore is protected with a password",
    why: "Without a password the entries are only obfuscated: whoever has the file, or a backup of it, has every \
          secret in it. Its strength then rests on the file's mode and on the encryption of the disk alone.",
    decides: "Reads what the file says of a password, after its checksum was verified, and tries the empty one, and with \
              Logstash the one that is stored in the file. A flag that trying disproves fails. A missing password matters \
              less where the volume below is proven to be encrypted, and passes there where the policy says so \
              (`keystores_without_password`). Beats and Elastic Agent know no password: there the \
              volume alone decides. A password fails that stands in a file on a volume that is not encrypted, or in one \
              that others may read. How good a password is cannot be seen.",
    severity: Severity::Medium,
    remedy: "set one with the product's keystore tool (`passwd`), and give it to the service at start from a place that \
             is encrypted itself, such as a systemd credential",
    controls: &[NIST_SC_28_1, NIST_SC_12, ISO_8_24, SOC2_CC6_1, CIS_3_11],
    evaluate,
};

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    let volumes = context.keystore_volumes.iter().map(|volume| volume.verdict);
    // A keystore whose volume was not judged lies on an unknown one.
    let volumes = volumes.chain(std::iter::repeat(Verdict::Unknown));
    let of_source = |keystore: &Observation, source: &SourceObservation| {
        let Some((path, namespace)) = source.source.file() else { return Verdict::Volatile };
        let posture = context.evaluator.target(&Target {
            path: path.clone(),
            usage: Use::Config,
            service: keystore.service.clone(),
            namespace: namespace.clone(),
            resolution: source.resolution.clone(),
            nearest: None,
        });
        if posture.verdict == Verdict::Claimed && context.policy.accept_claims {
            return Verdict::Encrypted;
        }
        posture.verdict
    };
    let keystores = context.snapshot.keystores.iter().zip(volumes);
    keystores
        .map(|(keystore, volume)| {
            let sources = keystore.password_sources.iter();
            let sources: Vec<_> =
                sources.map(|source| (source, of_source(keystore, source))).collect();
            judge(keystore, volume, &sources, context.policy.keystores_without_password)
        })
        .collect()
}

/// What a keystore says, where it rests, and the sources of its password with what each of those rests on.
fn judge(
    keystore: &Observation,
    volume: Verdict,
    sources: &[(&SourceObservation, Verdict)],
    without_password: WithoutPassword,
) -> Finding {
    let asset = keystore_asset(keystore);
    let path = &keystore.path;
    let contents = match &keystore.contents {
        Observed::Known(contents) => contents,
        Observed::Absent => {
            let summary = format!("there is no keystore at {path}");
            return finding(&CHECK, &asset, Outcome::NotApplicable, summary);
        }
        Observed::Unreadable(trouble) => {
            return unknown(&CHECK, &asset, &path.to_string(), trouble);
        }
    };
    let is_encrypted = matches!(volume, Verdict::Encrypted | Verdict::Volatile);
    let failed = |severity, summary| Finding {
        severity,
        remedy: remedy(keystore, &contents.format),
        ..finding(&CHECK, &asset, Outcome::Fail, summary)
    };
    let judged = match contents.protection() {
        Protection::Password => with_password(keystore, is_encrypted, sources),
        Protection::Unknown => {
            let summary = format!("{path} does not tell whether it has a password");
            finding(&CHECK, &asset, Outcome::Unknown, summary)
        }
        Protection::FalseFlag => {
            let summary = format!(
                "{path} looks as if it had a password, and opens without one: it was tampered with"
            );
            let remedy = "find out who wrote to the file, change the secrets in it, and set a password with the \
                          product's keystore tool";
            Finding { remedy: remedy.to_owned(), ..failed(Severity::High, summary) }
        }
        Protection::MissingFlag
            if contents.format == "elasticsearch" || contents.format == "opensearch" =>
        {
            let summary = format!(
                "{path} says that it has no password, and does not open without one: its flag was tampered with, or \
                 what is in it is damaged"
            );
            let remedy = "find out who wrote to the file, and restore the keystore or make it anew";
            Finding { remedy: remedy.to_owned(), ..failed(CHECK.severity, summary) }
        }
        Protection::MissingFlag => {
            let summary = format!(
                "{path} does not open with the password that every such file has: it is damaged or another program's"
            );
            finding(&CHECK, &asset, Outcome::Unknown, summary)
        }
        // They know no password: only the volume can protect it.
        Protection::None if is_obfuscated(&contents.format) && is_encrypted => {
            let summary = format!(
                "{path} is obfuscated only, as its product makes it; what protects it is the encrypted volume"
            );
            finding(&CHECK, &asset, Outcome::Pass, summary)
        }
        Protection::None
            if without_password == WithoutPassword::AcceptOnEncrypted && is_encrypted =>
        {
            let summary = format!(
                "{path} has no password, which the policy accepts: what protects it is the file's mode and the encrypted volume"
            );
            finding(&CHECK, &asset, Outcome::Pass, summary)
        }
        Protection::None => {
            let what = match contents.format.as_str() {
                "logstash" if contents.has_password == Some(false) => {
                    "holds its own password, for want of another one"
                }
                format if is_obfuscated(format) => "is obfuscated only, as its product makes it",
                _ => "has no password",
            };
            let rests_on = if is_encrypted {
                "the file's mode and the encrypted disk"
            } else {
                "the file's mode alone"
            };
            let summary = format!("{path} {what}: its secrets rest on {rests_on}");
            failed(if is_encrypted { Severity::Low } else { CHECK.severity }, summary)
        }
    };
    let tried = contents.opens_without_password.map(|opens| opens.to_string());
    let mut evidence = judged.evidence.clone();
    evidence.extend(tried.map(|tried| ("opens_without_password".to_owned(), tried)));
    if without_password == WithoutPassword::AcceptOnEncrypted
        && contents.protection() == Protection::None
    {
        evidence.insert("keystores_without_password".to_owned(), "accept_on_encrypted".to_owned());
        evidence.insert("volume".to_owned(), volume.to_string());
    }
    Finding { evidence, ..judged }
}

/// Products whose files everybody can open who has them.
fn is_obfuscated(format: &str) -> bool {
    matches!(format, "beats" | "elastic-agent-store" | "elastic-agent-vault")
}

fn remedy(keystore: &Observation, format: &str) -> String {
    match format {
        format if is_obfuscated(format) => {
            "it cannot have a password: move the directory that holds it onto an encrypted volume".to_owned()
        }
        "logstash" => "set LOGSTASH_KEYSTORE_PASS from a place that is encrypted itself, and make the keystore anew with \
                       `logstash-keystore create`"
            .to_owned(),
        "elasticsearch" => passwd(keystore, "ES", "ES_KEYSTORE_PASSPHRASE_FILE"),
        "opensearch" => passwd(keystore, "OPENSEARCH", "OPENSEARCH_KEYSTORE_PASSPHRASE_FILE"),
        "kibana" => passwd(keystore, "KBN", "KBN_KEYSTORE_PASSPHRASE_FILE"),
        _ => CHECK.remedy.to_owned(),
    }
}

/// How a password is set, and given to the service at its start. The tool lies beside the service's own programs: below
/// `/usr/share/NAME` for what a package keeps in `/etc/NAME`, below the home for `HOME/config`.
fn passwd(keystore: &Observation, variables: &str, file: &str) -> String {
    let product = &keystore.product;
    let directory = keystore.path.parent().unwrap_or_else(HostPath::root);
    let of_package = directory
        .to_string()
        .strip_prefix("/etc/")
        .filter(|name| !name.contains('/'))
        .map(str::to_owned);
    let is_config = directory.file_name() == Some(b"config");
    let home = match (&of_package, directory.parent()) {
        (Some(name), _) => Some(HostPath::from(format!("/usr/share/{name}"))),
        (None, Some(home)) if is_config => Some(home),
        (None, _) => None,
    };
    let tool = format!("bin/{product}-keystore");
    let command = match home {
        Some(home) => format!("{} passwd", shell(&home.join(&tool))),
        None => format!("{variables}_PATH_CONF={} {tool} passwd", shell(&directory)),
    };
    let unit = of_package.as_deref().unwrap_or(product);
    // What root saves in a directory of the service becomes root's, and the service could not read it any more.
    let is_services = |account: &&Account| {
        let nearest = keystore.parents.first();
        keystore.namespace == Namespace::Host
            && account.uid != 0
            && nearest.is_some_and(|parent| parent.access.metadata.uid == account.uid)
    };
    let user = Owner::of(keystore).user();
    let run_as = keystore.run_as.as_ref().filter(is_services);
    let sudo = run_as.map(|_| format!("sudo -u {user} ")).unwrap_or_default();
    // The start scripts open the file as the service.
    format!(
        "`{sudo}{command}`, then keep the password in a file on an encrypted volume that only {user} can read, and name that file to \
         the service: `systemctl edit {unit}`, with `Environment={file}=FILE` below `[Service]`; in a container \
         KEYSTORE_PASSWORD_FILE"
    )
}

/// A password is worth as much as the place that it is kept in.
fn with_password(
    keystore: &Observation,
    is_encrypted: bool,
    sources: &[(&SourceObservation, Verdict)],
) -> Finding {
    let asset = keystore_asset(keystore);
    let path = &keystore.path;
    let (mut wrong, mut open, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut severity, mut evidence) = (Severity::Low, BTreeMap::new());
    let owner = Owner::of(keystore);
    for (source, verdict) in sources {
        let variable = source.source.variable();
        let Some((file, _)) = source.source.file() else {
            notes.push(format!("it stands in the environment of the service ({variable})"));
            evidence.insert(format!("password_source {variable}"), "environment".to_owned());
            continue;
        };
        evidence.insert(format!("password_source {variable}"), format!("{file}, {verdict}"));
        let access = match &source.file {
            Observed::Known(access) => access,
            // It is needed at the start only.
            Observed::Absent => {
                notes.push(format!("{file} ({variable}) is not there now"));
                continue;
            }
            Observed::Unreadable(trouble) => {
                open.push(format!(
                    "{file} ({variable}) could not be looked at: {}",
                    trouble.detail
                ));
                continue;
            }
        };
        let readers = owner.readers(access);
        if !readers.is_empty() {
            severity = severity.max(CHECK.severity);
            wrong.push(format!("{} may read it in {file} ({variable})", readers.join(" and ")));
        }
        if let Some(group) = owner.uncounted(access, READ) {
            open.push(format!(
                "who is in group {group}, which may read it in {file} ({variable}), is not known: members are looked up in {} \
                 as well",
                access.members_elsewhere.join(", ")
            ));
        }
        match verdict {
            Verdict::Encrypted | Verdict::Volatile => {}
            Verdict::Unencrypted | Verdict::Partial => {
                if !is_encrypted {
                    severity = severity.max(CHECK.severity);
                }
                wrong.push(format!("it stands in {file} ({variable}), which is not encrypted"));
            }
            Verdict::Unknown | Verdict::Claimed => {
                open.push(format!("it stands in {file} ({variable}), which may not be encrypted"));
            }
        }
    }
    let judged = if wrong.is_empty() && open.is_empty() {
        let mut summary = format!("{path} is protected with a password");
        if !notes.is_empty() {
            summary = format!("{summary}; {}", notes.join("; "));
        }
        finding(&CHECK, &asset, Outcome::Pass, summary)
    } else if wrong.is_empty() {
        let summary = format!("{path} has a password, and {}", open.join("; "));
        finding(&CHECK, &asset, Outcome::Unknown, summary)
    } else {
        wrong.extend(open);
        let summary = format!("{path} has a password, but {}", wrong.join("; "));
        let remedy = "keep the password where the disk does not have it in clear, such as a systemd credential or a file \
                      of mode 0400 on an encrypted volume, and then change it";
        Finding {
            severity,
            remedy: remedy.to_owned(),
            ..finding(&CHECK, &asset, Outcome::Fail, summary)
        }
    };
    Finding { evidence, ..judged }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::super::keystore_fixture::{access, directory, keystore};
    use super::*;
    use crate::host::FileKind;
    use crate::keystore::PasswordSource;
    use crate::keystore::access::Access;
    use crate::snapshot::{Resolved, Trouble};

    fn judge(
        keystore: &Observation,
        volume: Verdict,
        sources: &[(&SourceObservation, Verdict)],
    ) -> Finding {
        super::judge(keystore, volume, sources, WithoutPassword::Fail)
    }

    #[test]
    fn the_policy_may_accept_none_where_the_volume_is_proven_to_be_encrypted() {
        let judge = |keystore: &Observation, volume| {
            super::judge(keystore, volume, &[], WithoutPassword::AcceptOnEncrypted)
        };
        for format in ["elasticsearch", "opensearch", "logstash"] {
            let keystore = keystore(format, 1, Some(false));
            for volume in [Verdict::Encrypted, Verdict::Volatile] {
                let accepted = judge(&keystore, volume);
                assert_eq!(accepted.outcome, Outcome::Pass, "{accepted:?}");
                assert_eq!(accepted.evidence["keystores_without_password"], "accept_on_encrypted");
                assert_eq!(accepted.evidence["volume"], volume.to_string());
            }
            for volume in
                [Verdict::Unencrypted, Verdict::Partial, Verdict::Unknown, Verdict::Claimed]
            {
                let failed = judge(&keystore, volume);
                assert_eq!((failed.outcome, failed.severity), (Outcome::Fail, Severity::Medium));
                assert_eq!(failed.evidence["volume"], volume.to_string());
            }
        }
        // What was tampered with, or is not known, is not accepted.
        assert_eq!(
            judge(&tried("elasticsearch", Some(true), Some(true)), Verdict::Encrypted).outcome,
            Outcome::Fail
        );
        assert_eq!(
            judge(&tried("opensearch", Some(false), Some(false)), Verdict::Encrypted).outcome,
            Outcome::Fail
        );
        assert_eq!(
            judge(&tried("kibana", None, None), Verdict::Encrypted).outcome,
            Outcome::Unknown
        );
        let with = judge(&keystore("elasticsearch", 7, Some(true)), Verdict::Encrypted);
        assert!(with.outcome == Outcome::Pass && !with.evidence.contains_key("volume"));
    }

    #[test]
    fn an_operator_reads_what_to_type() {
        let typed = |product: &str, path: &str| {
            let mut keystore = keystore(product, 4, Some(false));
            keystore.path = HostPath::from(path);
            remedy(&keystore, product)
        };
        for (product, path, part) in [
            (
                "elasticsearch",
                "/etc/elasticsearch/elasticsearch.keystore",
                "`/usr/share/elasticsearch/bin/elasticsearch-keystore passwd`",
            ),
            (
                "opensearch",
                "/etc/wazuh-indexer/opensearch.keystore",
                "`/usr/share/wazuh-indexer/bin/opensearch-keystore passwd`",
            ),
            (
                "elasticsearch",
                "/opt/e s/config/elasticsearch.keystore",
                "`'/opt/e s/bin/elasticsearch-keystore' passwd`",
            ),
            (
                "elasticsearch",
                "/srv/conf/elasticsearch.keystore",
                "`ES_PATH_CONF=/srv/conf bin/elasticsearch-keystore passwd`",
            ),
            ("kibana", "/etc/kibana/kibana.keystore", "KBN_KEYSTORE_PASSPHRASE_FILE=FILE"),
        ] {
            assert!(typed(product, path).contains(part), "{}", typed(product, path));
        }
    }

    #[test]
    fn what_is_typed_leaves_the_service_its_keystore_and_its_password() {
        let mut keystore = keystore("elasticsearch", 7, Some(false));
        let of_root = remedy(&keystore, "elasticsearch");
        assert!(of_root.starts_with("`/usr/share/"), "{of_root}");
        assert!(of_root.contains("that only elasticsearch can read"), "{of_root}");
        keystore.parents[0] = directory("/etc/elasticsearch", 0o750, 101, 102);
        let own = remedy(&keystore, "elasticsearch");
        assert!(own.starts_with("`sudo -u elasticsearch /usr/share/"), "{own}");
        // Inside of a container it is the user's anyway.
        keystore.namespace = Namespace::Process(7);
        assert!(remedy(&keystore, "elasticsearch").starts_with("`/usr/share/"));
    }

    #[test]
    fn a_password_passes() {
        let finding = judge(&keystore("elasticsearch", 7, Some(true)), Verdict::Unencrypted, &[]);
        assert_eq!(finding.outcome, Outcome::Pass);
    }

    #[test]
    fn none_fails_and_matters_less_on_an_encrypted_disk() {
        let keystore = keystore("elasticsearch", 7, Some(false));
        let plain = judge(&keystore, Verdict::Unencrypted, &[]);
        assert_eq!((plain.outcome, plain.severity), (Outcome::Fail, Severity::Medium));
        assert!(plain.summary.contains("mode alone"));
        let encrypted = judge(&keystore, Verdict::Encrypted, &[]);
        assert_eq!((encrypted.outcome, encrypted.severity), (Outcome::Fail, Severity::Low));
        assert_eq!(judge(&keystore, Verdict::Unknown, &[]).severity, Severity::Medium);
    }

    /// A keystore whose file says this of a password, and what trying it showed.
    fn tried(format: &str, says: Option<bool>, opens: Option<bool>) -> Observation {
        let mut keystore = keystore(format, 1, says);
        if let Observed::Known(contents) = &mut keystore.contents {
            contents.opens_without_password = opens;
        }
        keystore
    }

    #[test]
    fn a_flag_that_trying_disproves_fails() {
        for format in ["elasticsearch", "opensearch"] {
            let finding = judge(&tried(format, Some(true), Some(true)), Verdict::Encrypted, &[]);
            assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::High));
            assert!(finding.summary.contains("tampered"));
            let finding = judge(&tried(format, Some(false), Some(false)), Verdict::Encrypted, &[]);
            assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Medium));
        }
        let beat = judge(&tried("beats", Some(false), Some(false)), Verdict::Encrypted, &[]);
        assert_eq!(beat.outcome, Outcome::Unknown);
    }

    #[test]
    fn for_kibana_only_trying_tells() {
        let outcome =
            |opens| judge(&tried("kibana", None, opens), Verdict::Unencrypted, &[]).outcome;
        assert_eq!(outcome(Some(true)), Outcome::Fail);
        assert_eq!(outcome(Some(false)), Outcome::Pass);
        assert_eq!(outcome(None), Outcome::Unknown);
    }

    #[test]
    fn what_cannot_have_a_password_is_judged_by_its_volume() {
        for format in ["beats", "elastic-agent-store", "elastic-agent-vault"] {
            let keystore = tried(format, Some(false), None);
            assert_eq!(judge(&keystore, Verdict::Encrypted, &[]).outcome, Outcome::Pass);
            assert_eq!(judge(&keystore, Verdict::Volatile, &[]).outcome, Outcome::Pass);
            for verdict in
                [Verdict::Unencrypted, Verdict::Partial, Verdict::Unknown, Verdict::Claimed]
            {
                let finding = judge(&keystore, verdict, &[]);
                assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Medium));
                assert!(finding.summary.contains("obfuscated"));
                assert!(finding.remedy.contains("cannot have a password"));
            }
        }
    }

    #[test]
    fn logstash_that_keeps_its_own_password_has_none() {
        let finding = judge(&tried("logstash", Some(false), Some(true)), Verdict::Encrypted, &[]);
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Low));
        assert!(finding.summary.contains("holds its own password"));
        assert!(finding.remedy.contains("LOGSTASH_KEYSTORE_PASS"));
    }

    /// A file with the password in it, of this mode.
    fn source(mode: u32) -> SourceObservation {
        SourceObservation {
            source: PasswordSource::File {
                variable: "ES_KEYSTORE_PASSPHRASE_FILE".to_owned(),
                path: HostPath::from("/etc/pass"),
                namespace: Namespace::Host,
            },
            file: Observed::Known(access(FileKind::File, mode, 0, 102)),
            resolution: Observed::Known(Resolved::at("/etc/pass")),
        }
    }

    #[test]
    fn a_password_that_the_disk_has_in_clear_protects_nothing() {
        let keystore = keystore("elasticsearch", 7, Some(true));
        let file = source(0o640);
        let judge = |below, verdict| judge(&keystore, below, &[(&file, verdict)]);
        let plain = judge(Verdict::Unencrypted, Verdict::Unencrypted);
        assert_eq!((plain.outcome, plain.severity), (Outcome::Fail, Severity::Medium));
        assert!(plain.summary.contains("/etc/pass (ES_KEYSTORE_PASSPHRASE_FILE)"));
        let below = judge(Verdict::Encrypted, Verdict::Partial);
        assert_eq!((below.outcome, below.severity), (Outcome::Fail, Severity::Low));
        for verdict in [Verdict::Encrypted, Verdict::Volatile] {
            assert_eq!(judge(Verdict::Unencrypted, verdict).outcome, Outcome::Pass);
        }
        for verdict in [Verdict::Unknown, Verdict::Claimed] {
            assert_eq!(judge(Verdict::Unencrypted, verdict).outcome, Outcome::Unknown);
        }
    }

    #[test]
    fn a_password_file_that_others_may_read_is_named() {
        let keystore = keystore("elasticsearch", 7, Some(true));
        let judge = |file: &SourceObservation| {
            judge(&keystore, Verdict::Encrypted, &[(file, Verdict::Encrypted)])
        };
        let open = judge(&source(0o644));
        assert_eq!((open.outcome, open.severity), (Outcome::Fail, Severity::Medium));
        assert!(open.summary.contains("others may read it in /etc/pass"), "{}", open.summary);
        let mut of_users = source(0o640);
        if let Observed::Known(access) = &mut of_users.file {
            (access.metadata.gid, access.group) = (50, "users".to_owned());
        }
        assert!(judge(&of_users).summary.contains("group users may read it"));
        assert_eq!(judge(&source(0o600)).outcome, Outcome::Pass);
        let in_group = |mode, change: fn(&mut Access)| {
            let mut file = source(mode);
            if let Observed::Known(access) = &mut file.file {
                change(access);
            }
            judge(&file)
        };
        let alice = |access: &mut Access| access.members = vec!["alice".to_owned()];
        assert!(in_group(0o640, alice).summary.contains("alice may read it in /etc/pass"));
        assert_eq!(in_group(0o600, alice).outcome, Outcome::Pass);
        let elsewhere = |access: &mut Access| access.members_elsewhere = vec!["sss".to_owned()];
        let open = in_group(0o640, elsewhere);
        assert_eq!(open.outcome, Outcome::Unknown);
        assert!(open.summary.contains("who is in group elasticsearch"), "{}", open.summary);
        assert_eq!(in_group(0o600, elsewhere).outcome, Outcome::Pass);
        let mut gone = source(0o600);
        gone.file = Observed::Absent;
        assert_eq!(judge(&gone).outcome, Outcome::Pass);
        gone.file = Observed::Unreadable(Trouble::new(Reason::NoPermission, "no"));
        assert_eq!(judge(&gone).outcome, Outcome::Unknown);
    }

    #[test]
    fn a_variable_of_the_process_is_told() {
        let keystore = keystore("elasticsearch", 7, Some(true));
        let source = SourceObservation {
            source: PasswordSource::Environment { variable: "KEYSTORE_PASSWORD".to_owned() },
            file: Observed::Absent,
            resolution: Observed::Absent,
        };
        let finding = judge(&keystore, Verdict::Unencrypted, &[(&source, Verdict::Volatile)]);
        assert_eq!(finding.outcome, Outcome::Pass);
        assert!(finding.summary.contains("KEYSTORE_PASSWORD"));
    }

    #[test]
    fn a_damaged_or_hidden_keystore_is_unknown() {
        let mut damaged = keystore("elasticsearch", 7, None);
        assert_eq!(judge(&damaged, Verdict::Encrypted, &[]).outcome, Outcome::Unknown);
        damaged.contents = Observed::Unreadable(Trouble::new(Reason::Unreadable, "checksum"));
        let finding = judge(&damaged, Verdict::Encrypted, &[]);
        assert_eq!(finding.outcome, Outcome::Unknown);
        assert!(finding.summary.contains("checksum"));
    }

    #[test]
    fn without_a_keystore_there_is_nothing_to_judge() {
        let mut absent = keystore("elasticsearch", 7, None);
        absent.contents = Observed::Absent;
        assert_eq!(judge(&absent, Verdict::Encrypted, &[]).outcome, Outcome::NotApplicable);
    }
}
