//! `keystore_password`: a keystore does not open for everyone who can read it.

use atrest_proto::model::{Finding, Outcome, Severity, Verdict};

use super::outcome::{finding, unknown};
use super::{CIS_3_11, Check, Context, ISO_8_24, NIST_SC_12, NIST_SC_28_1, SOC2_CC6_1};
use crate::keystore::Observation;
use crate::posture::keystore_asset;
use crate::snapshot::Observed;

pub(super) const CHECK: Check = Check {
    id: "keystore_password",
    title: "A keystore is protected with a password",
    why: "Without a password the entries are only obfuscated: whoever has the file, or a backup of it, has every \
          secret in it. Its strength then rests on the file's mode and on the encryption of the disk alone.",
    decides: "Reads the password flag of the file, after its checksum was verified. A missing password matters \
              less where the volume below is proven to be encrypted. How good a password is cannot be seen.",
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
    context
        .snapshot
        .keystores
        .iter()
        .zip(volumes)
        .map(|(keystore, volume)| judge(keystore, volume))
        .collect()
}

fn judge(keystore: &Observation, volume: Verdict) -> Finding {
    let asset = keystore_asset(keystore);
    let path = &keystore.path;
    let has_password = match &keystore.contents {
        Observed::Known(contents) => contents.has_password,
        Observed::Absent => {
            let summary = format!("there is no keystore at {path}");
            return finding(&CHECK, &asset, Outcome::NotApplicable, summary);
        }
        Observed::Unreadable(trouble) => {
            return unknown(&CHECK, &asset, &path.to_string(), trouble);
        }
    };
    match has_password {
        Some(true) => {
            finding(&CHECK, &asset, Outcome::Pass, format!("{path} is protected with a password"))
        }
        None => {
            let summary = format!("{path} does not tell whether it has a password");
            finding(&CHECK, &asset, Outcome::Unknown, summary)
        }
        Some(false) => {
            let is_encrypted = matches!(volume, Verdict::Encrypted | Verdict::Volatile);
            let rests_on = if is_encrypted {
                "the file's mode and the encrypted disk"
            } else {
                "the file's mode alone"
            };
            let summary = format!("{path} has no password: its secrets rest on {rests_on}");
            let severity = if is_encrypted { Severity::Low } else { CHECK.severity };
            Finding { severity, ..finding(&CHECK, &asset, Outcome::Fail, summary) }
        }
    }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::super::keystore_fixture::keystore;
    use super::*;
    use crate::snapshot::Trouble;

    #[test]
    fn a_password_passes() {
        let finding = judge(&keystore("elasticsearch", 7, Some(true)), Verdict::Unencrypted);
        assert_eq!(finding.outcome, Outcome::Pass);
    }

    #[test]
    fn none_fails_and_matters_less_on_an_encrypted_disk() {
        let keystore = keystore("elasticsearch", 7, Some(false));
        let plain = judge(&keystore, Verdict::Unencrypted);
        assert_eq!((plain.outcome, plain.severity), (Outcome::Fail, Severity::Medium));
        assert!(plain.summary.contains("mode alone"));
        let encrypted = judge(&keystore, Verdict::Encrypted);
        assert_eq!((encrypted.outcome, encrypted.severity), (Outcome::Fail, Severity::Low));
        assert_eq!(judge(&keystore, Verdict::Unknown).severity, Severity::Medium);
    }

    #[test]
    fn a_damaged_or_hidden_keystore_is_unknown() {
        let mut damaged = keystore("elasticsearch", 7, None);
        assert_eq!(judge(&damaged, Verdict::Encrypted).outcome, Outcome::Unknown);
        damaged.contents = Observed::Unreadable(Trouble::new(Reason::Unreadable, "checksum"));
        let finding = judge(&damaged, Verdict::Encrypted);
        assert_eq!(finding.outcome, Outcome::Unknown);
        assert!(finding.summary.contains("checksum"));
    }

    #[test]
    fn without_a_keystore_there_is_nothing_to_judge() {
        let mut absent = keystore("elasticsearch", 7, None);
        absent.contents = Observed::Absent;
        assert_eq!(judge(&absent, Verdict::Encrypted).outcome, Outcome::NotApplicable);
    }
}
