//! `spare_encrypted`: the spares of an encrypted array are encrypted as its members are.

use atrest_proto::model::{Finding, Outcome, PathPosture, Severity, Verdict};

use super::outcome::finding;
use super::{Check, Context, HIPAA_312, ISO_8_24, NIST_SC_28_1, SOC2_CC6_1};
use crate::policy::Policy;

pub(super) const CHECK: Check = Check {
    id: "spare_encrypted",
    title: "The spares of an encrypted array are encrypted",
    why: "When a member of an array fails, the kernel rebuilds its contents onto a spare at once and asks nobody. If the \
          members are dm-crypt devices and the spare is a bare disk, that is where the plaintext goes.",
    decides: "Follows each spare of an md array down to the physical devices, as it does with a path. Fails when a spare \
              is plain in whole or in part while at least some members are encrypted. Where the members themselves are \
              plain it does not apply: `volume_encrypted` says so, unless what lies on the array is encrypted.",
    severity: Severity::High,
    remedy: "`mdadm ARRAY --remove SPARE`, put dm-crypt on it as on the members, and add the opened device",
    controls: &[NIST_SC_28_1, HIPAA_312, ISO_8_24, SOC2_CC6_1],
    evaluate,
};

/// A spare of an md array, with the verdicts on both as devices.
#[derive(Debug)]
pub struct Spare {
    /// Its active members decide.
    pub array: PathPosture,
    pub spare: PathPosture,
}

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    context.spares.iter().map(|spare| judge(spare, context.policy)).collect()
}

fn judge(found: &Spare, policy: &Policy) -> Finding {
    let (array, spare) = (&found.array, &found.spare);
    let asset = format!("spare:{}", spare.path);
    let say = |outcome, summary| finding(&CHECK, &asset, outcome, summary);
    let (node, of) = (&spare.path, &array.path);
    let judged = match (array.verdict, spare.verdict) {
        (Verdict::Unencrypted | Verdict::Volatile, _) => {
            say(Outcome::NotApplicable, format!("{node}: a spare of {of}, whose members are plain"))
        }
        (_, Verdict::Encrypted) => {
            say(Outcome::Pass, format!("{node}: a spare of {of}, encrypted"))
        }
        (_, Verdict::Claimed) if policy.accept_claims => say(
            Outcome::Pass,
            format!(
                "{node}: a spare of {of}; {} says that it encrypts",
                spare.claimed_by.join(", ")
            ),
        ),
        (Verdict::Encrypted | Verdict::Partial, Verdict::Unencrypted | Verdict::Partial) => {
            let plain: Vec<&str> = spare.plain.iter().map(|leg| leg.device.as_str()).collect();
            let summary = format!(
                "{node}: a spare of {of} in plaintext on {}: contents go there when a member fails",
                plain.join(", ")
            );
            say(Outcome::Fail, summary)
        }
        (Verdict::Claimed | Verdict::Unknown, Verdict::Unencrypted | Verdict::Partial) => say(
            Outcome::Unknown,
            format!("{node}: a plain spare of {of}, of which is not known whether it encrypts"),
        ),
        (
            Verdict::Encrypted | Verdict::Partial | Verdict::Claimed | Verdict::Unknown,
            Verdict::Claimed | Verdict::Volatile | Verdict::Unknown,
        ) => say(
            Outcome::Unknown,
            format!("{node}: a spare of {of}, of which is not known whether it encrypts"),
        ),
    };
    Finding {
        remedy: judged.remedy.replace("ARRAY", of).replace("SPARE", node),
        reasons: match judged.outcome {
            Outcome::Fail | Outcome::Unknown => spare.reasons.clone(),
            Outcome::Pass | Outcome::NotApplicable => Vec::new(),
        },
        evidence: [
            ("array".to_owned(), format!("{of} {}", array.verdict)),
            ("verdict".to_owned(), spare.verdict.to_string()),
        ]
        .into(),
        ..judged
    }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::{Reason, Use};

    use super::*;
    use crate::volume::fixture::{plain, proof};

    fn device(path: &str, verdict: Verdict) -> PathPosture {
        let is_plain = matches!(verdict, Verdict::Unencrypted | Verdict::Partial);
        let reasons = if is_plain { &[Reason::PlainDevice][..] } else { &[] };
        plain(proof(Use::Declared, path, verdict), "/dev/sdc", reasons)
    }

    fn found(array: Verdict, spare: Verdict, policy: &Policy) -> Finding {
        let found = Spare { array: device("/dev/md0", array), spare: device("/dev/sdc1", spare) };
        judge(&found, policy)
    }

    fn outcome(array: Verdict, spare: Verdict) -> Outcome {
        found(array, spare, &Policy::default()).outcome
    }

    #[test]
    fn a_plain_spare_of_an_encrypted_array_fails() {
        let finding = found(Verdict::Encrypted, Verdict::Unencrypted, &Policy::default());
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::High));
        assert_eq!(finding.asset, "spare:/dev/sdc1");
        assert_eq!(finding.reasons, [Reason::PlainDevice]);
        assert!(finding.summary.contains("/dev/sdc"), "{}", finding.summary);
        assert!(finding.remedy.contains("mdadm /dev/md0 --remove /dev/sdc1"));
        assert_eq!(outcome(Verdict::Partial, Verdict::Unencrypted), Outcome::Fail);
        assert_eq!(outcome(Verdict::Encrypted, Verdict::Partial), Outcome::Fail);
    }

    #[test]
    fn an_encrypted_spare_passes() {
        assert_eq!(outcome(Verdict::Encrypted, Verdict::Encrypted), Outcome::Pass);
        assert_eq!(outcome(Verdict::Unknown, Verdict::Encrypted), Outcome::Pass);
    }

    #[test]
    fn a_claim_passes_only_by_policy() {
        assert_eq!(outcome(Verdict::Encrypted, Verdict::Claimed), Outcome::Unknown);
        let policy = Policy { accept_claims: true, ..Policy::default() };
        assert_eq!(found(Verdict::Encrypted, Verdict::Claimed, &policy).outcome, Outcome::Pass);
    }

    #[test]
    fn what_is_not_known_of_either_is_unknown() {
        assert_eq!(outcome(Verdict::Encrypted, Verdict::Unknown), Outcome::Unknown);
        assert_eq!(outcome(Verdict::Unknown, Verdict::Unencrypted), Outcome::Unknown);
    }

    #[test]
    fn in_a_plain_array_it_does_not_apply() {
        assert_eq!(outcome(Verdict::Unencrypted, Verdict::Unencrypted), Outcome::NotApplicable);
        assert_eq!(outcome(Verdict::Unencrypted, Verdict::Unknown), Outcome::NotApplicable);
    }
}
