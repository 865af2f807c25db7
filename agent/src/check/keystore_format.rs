//! `keystore_format`: a keystore is in a format that protects what it can.

use atrest_proto::model::{Finding, Outcome, Severity};

use super::outcome::{finding, unknown};
use super::{CIS_3_11, Check, Context, ISO_8_24, NIST_SC_12, NIST_SC_28_1, SOC2_CC6_1};
use crate::keystore::{Contents, Observation, Protection};
use crate::posture::keystore_asset;
use crate::snapshot::Observed;

pub(super) const CHECK: Check = Check {
    id: "keystore_format",
    title: "A keystore is in a current format",
    why: "The oldest formats never used a password; those up to version 5 stretch it with 10,000 iterations only, a \
          hundredth of what is advised today. Packages do not upgrade a keystore that has a password.",
    decides: "By the version in the file. Elasticsearch: 1 and 2 fail; 3 to 5 fail once a password is set, since its \
              stretching is weak; 6 and 7 pass. OpenSearch has nothing better than 4, which passes, nor have Kibana, \
              Beats and Elastic Agent better than what they write. Logstash: a store that is encrypted with RC2, RC4 or \
              triple DES, as old Java does, fails once a password is set. A version that is newer than known, or a file \
              that is damaged, is unknown.",
    severity: Severity::Low,
    remedy: "upgrade the product, then the file: `elasticsearch-keystore upgrade` or `opensearch-keystore upgrade`; that \
             of Logstash is made anew with `logstash-keystore create`",
    controls: &[NIST_SC_28_1, NIST_SC_12, ISO_8_24, SOC2_CC6_1, CIS_3_11],
    evaluate,
};

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    context.snapshot.keystores.iter().map(judge).collect()
}

fn judge(keystore: &Observation) -> Finding {
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
    let (format, version) = (&contents.format, contents.version);
    let what = format!("{path} is in format {version} of {format}");
    let judged = match grade(contents) {
        Grade::Obsolete => {
            let summary = format!("{what}, which never used a password");
            Finding {
                severity: Severity::Medium,
                ..finding(&CHECK, &asset, Outcome::Fail, summary)
            }
        }
        Grade::WeakStretching => {
            let summary = format!("{what}: its password is stretched by {} only", contents.kdf);
            finding(&CHECK, &asset, Outcome::Fail, summary)
        }
        Grade::WeakCipher => {
            let summary = format!("{what}: it is encrypted with {} only", contents.cipher);
            finding(&CHECK, &asset, Outcome::Fail, summary)
        }
        Grade::Good => finding(&CHECK, &asset, Outcome::Pass, what),
        Grade::Best(note) => finding(&CHECK, &asset, Outcome::Pass, format!("{what}, {note}")),
        Grade::Unknown => {
            finding(&CHECK, &asset, Outcome::Unknown, format!("{what}, which is not known"))
        }
    };
    let evidence = [
        ("format", format.clone()),
        ("version", version.to_string()),
        ("kdf", contents.kdf.clone()),
        ("cipher", contents.cipher.clone()),
    ];
    Finding {
        evidence: evidence.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..judged
    }
}

enum Grade {
    Obsolete,
    WeakStretching,
    WeakCipher,
    Good,
    /// The product has nothing better; and what there is to say about it.
    Best(&'static str),
    Unknown,
}

fn grade(contents: &Contents) -> Grade {
    // Nothing is stretched where there is no password: then only `keystore_password` has something to say.
    let has_password = contents.protection() != Protection::None;
    match (contents.format.as_str(), contents.version) {
        ("elasticsearch" | "opensearch", 1 | 2) => Grade::Obsolete,
        ("elasticsearch", 3..=5) | ("opensearch", 3) if has_password => Grade::WeakStretching,
        ("opensearch", 4) => Grade::Best(
            "the newest that OpenSearch has; it stretches a password with 10,000 iterations only",
        ),
        ("elasticsearch", 3..=7) | ("opensearch", 3) => Grade::Good,
        ("kibana", 1) => Grade::Best(
            "the only one that Kibana has; it stretches a password with 10,000 iterations only",
        ),
        ("logstash", 1) => {
            const WEAK: [&str; 4] = ["rc2", "rc4", "2des", "3des"];
            let ciphers = &contents.cipher;
            let is_weak =
                WEAK.iter().any(|weak| ciphers.split(", ").any(|one| one.starts_with(weak)));
            let is_known = ciphers.split(", ").all(|one| one.starts_with("aes-"));
            match (is_weak, has_password) {
                (true, true) => Grade::WeakCipher,
                (true, false) => Grade::Good,
                (false, _) if is_known => Grade::Good,
                (false, _) => Grade::Unknown,
            }
        }
        ("beats", 1 | 2) => Grade::Best("which obfuscates, as Beats have nothing else"),
        ("elastic-agent-vault", 1 | 2) | ("elastic-agent-store", 2) => {
            Grade::Best("which obfuscates, as Elastic Agent keeps the key beside it")
        }
        _ => Grade::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::super::keystore_fixture::keystore;
    use super::*;
    use crate::snapshot::Trouble;

    fn outcome(format: &str, version: u32, has_password: bool) -> Outcome {
        judge(&keystore(format, version, Some(has_password))).outcome
    }

    #[test]
    fn elasticsearch_passes_with_its_newest_formats() {
        for version in [6, 7] {
            assert_eq!(outcome("elasticsearch", version, true), Outcome::Pass);
            assert_eq!(outcome("elasticsearch", version, false), Outcome::Pass);
        }
    }

    #[test]
    fn formats_that_never_protected_fail() {
        for version in [1, 2] {
            assert_eq!(outcome("elasticsearch", version, false), Outcome::Fail);
            assert_eq!(outcome("opensearch", version, false), Outcome::Fail);
        }
    }

    #[test]
    fn weak_stretching_matters_once_there_is_a_password() {
        for version in [3, 4, 5] {
            assert_eq!(outcome("elasticsearch", version, true), Outcome::Fail);
            assert_eq!(outcome("elasticsearch", version, false), Outcome::Pass);
        }
    }

    #[test]
    fn opensearch_is_held_to_the_best_it_has() {
        assert_eq!(outcome("opensearch", 4, true), Outcome::Pass);
        assert_eq!(outcome("opensearch", 3, true), Outcome::Fail);
    }

    #[test]
    fn products_that_have_one_format_pass_and_it_is_told() {
        for (format, version) in [
            ("opensearch", 4),
            ("kibana", 1),
            ("beats", 1),
            ("beats", 2),
            ("elastic-agent-vault", 2),
            ("elastic-agent-store", 2),
        ] {
            let finding = judge(&keystore(format, version, Some(false)));
            assert_eq!(finding.outcome, Outcome::Pass, "{format}");
            assert!(finding.summary.contains(", "), "{}", finding.summary);
        }
    }

    #[test]
    fn logstash_is_judged_by_its_cipher() {
        let outcome = |cipher: &str, has_password| {
            let mut keystore = keystore("logstash", 1, Some(has_password));
            if let Observed::Known(contents) = &mut keystore.contents {
                cipher.clone_into(&mut contents.cipher);
            }
            judge(&keystore).outcome
        };
        assert_eq!(outcome("aes-256-cbc", true), Outcome::Pass);
        assert_eq!(outcome("3des-cbc", true), Outcome::Fail);
        assert_eq!(outcome("aes-256-cbc, rc2-40-cbc", true), Outcome::Fail);
        assert_eq!(outcome("3des-cbc", false), Outcome::Pass);
        assert_eq!(outcome("oid 1.2.3", true), Outcome::Unknown);
    }

    #[test]
    fn what_is_newer_or_damaged_is_unknown() {
        assert_eq!(outcome("elasticsearch", 8, true), Outcome::Unknown);
        assert_eq!(outcome("opensearch", 5, true), Outcome::Unknown);
        let mut damaged = keystore("elasticsearch", 7, None);
        damaged.contents = Observed::Unreadable(Trouble::new(Reason::Unreadable, "checksum"));
        assert_eq!(judge(&damaged).outcome, Outcome::Unknown);
    }
}
