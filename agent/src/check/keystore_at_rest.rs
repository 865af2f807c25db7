//! `keystore_at_rest`: the volume below a keystore is encrypted.

use atrest_proto::model::{Finding, Outcome, PathPosture, Severity};

use super::outcome::finding;
use super::{
    CIS_3_11, Check, Context, HIPAA_312, ISO_8_24, NIST_SC_28_1, SOC2_CC6_1, volume_encrypted,
};
use crate::keystore::Observation;
use crate::policy::Policy;
use crate::posture::keystore_asset;
use crate::snapshot::Observed;

pub(super) const CHECK: Check = Check {
    id: "keystore_at_rest",
    title: "The volume below a keystore is encrypted",
    why: "A keystore holds the passwords and keys of the cluster. One without a password is as open as its disk, and \
          a password can be tried at leisure on a copy.",
    decides: "By the same proof as for every path, from the keystore's own file down to the physical devices.",
    severity: Severity::High,
    remedy: "move the configuration directory onto a dm-crypt (LUKS) volume, or encrypt the device that is named",
    controls: &[NIST_SC_28_1, HIPAA_312, ISO_8_24, SOC2_CC6_1, CIS_3_11],
    evaluate,
};

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    context
        .snapshot
        .keystores
        .iter()
        .zip(context.keystore_volumes)
        .map(|(keystore, volume)| judge(keystore, volume, context.policy))
        .collect()
}

fn judge(keystore: &Observation, volume: &PathPosture, policy: &Policy) -> Finding {
    let asset = keystore_asset(keystore);
    if matches!(keystore.file, Observed::Absent) {
        let summary = format!("there is no keystore at {}", keystore.path);
        return finding(&CHECK, &asset, Outcome::NotApplicable, summary);
    }
    Finding { asset, ..volume_encrypted::judge(&CHECK, volume, policy) }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::{Use, Verdict};

    use super::super::keystore_fixture::keystore;
    use super::*;
    use crate::volume::fixture::proof;

    fn outcome(verdict: Verdict, is_there: bool) -> Outcome {
        let mut keystore = keystore("elasticsearch", 7, Some(false));
        if !is_there {
            keystore.file = Observed::Absent;
        }
        let volume = proof(Use::Config, &keystore.path.to_string(), verdict);
        let finding = judge(&keystore, &volume, &Policy::default());
        assert_eq!(finding.asset, "keystore:/etc/elasticsearch/elasticsearch.keystore");
        assert_eq!(finding.check, "keystore_at_rest");
        finding.outcome
    }

    #[test]
    fn the_volume_decides() {
        assert_eq!(outcome(Verdict::Encrypted, true), Outcome::Pass);
        assert_eq!(outcome(Verdict::Unencrypted, true), Outcome::Fail);
        assert_eq!(outcome(Verdict::Unknown, true), Outcome::Unknown);
    }

    #[test]
    fn a_keystore_that_is_not_there_rests_nowhere() {
        assert_eq!(outcome(Verdict::Unencrypted, false), Outcome::NotApplicable);
    }
}
