//! The catalogue: every check there is, each in a file of its own with its text and its tests.
//!
//! A check is plain data and a pure function. [`ALL`] names them all; nothing registers itself.

mod agent_sight;
mod boot_devices;
#[cfg(test)]
mod boot_fixture;
mod boot_intent;
mod cipher_strength;
mod cluster_state_encryption;
mod core_dumps_contained;
mod crypt_device;
#[cfg(test)]
mod crypt_fixture;
mod crypt_suspended;
mod discards_allowed;
mod header_copies;
mod hibernation_encrypted;
mod key_file_exposed;
mod keystore_access;
mod keystore_at_rest;
#[cfg(test)]
mod keystore_fixture;
mod keystore_format;
mod keystore_leftovers;
mod keystore_password;
mod keystore_permissions;
mod kibana_saved_objects_key;
#[cfg(test)]
mod luks_fixture;
mod luks_header;
mod luks_kdf;
mod luks_keyslots;
mod luks_volume;
mod names_exposed;
mod outcome;
mod plaintext_secret;
mod reencryption_complete;
mod repository_encrypted;
mod repository_key;
mod repository_old_objects;
#[cfg(test)]
mod secret_fixture;
mod service_drift;
mod spare_encrypted;
mod swap_encrypted;
mod symlink_leaves;
mod volume_encrypted;
mod volume_key_exposed;

use atrest_proto::model::{Finding, PathPosture, Severity};
pub use spare_encrypted::Spare;

use crate::policy::Policy;
use crate::snapshot::Snapshot;
use crate::volume::Evaluator;

/// Raised when a check comes, goes, or judges differently, so that a changed verdict can be explained.
pub const CATALOGUE_VERSION: u32 = 5;

/// A requirement of a framework that a check *supports*. It never satisfies one by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Control {
    pub framework: &'static str,
    pub id: &'static str,
}

/// One test of one kind of asset.
pub struct Check {
    /// Stable: scripts and exceptions refer to it.
    pub id: &'static str,
    pub title: &'static str,
    /// Why it matters, for people.
    pub why: &'static str,
    /// How it decides.
    pub decides: &'static str,
    /// Of a failure.
    pub severity: Severity,
    /// What to do about a failure.
    pub remedy: &'static str,
    pub controls: &'static [Control],
    pub evaluate: fn(&Context<'_>) -> Vec<Finding>,
}

/// What a check may look at: observations and what was already judged. No clock, no files.
pub struct Context<'a> {
    pub snapshot: &'a Snapshot,
    pub policy: &'a Policy,
    /// The verdict of every target, in the snapshot's order of targets.
    pub paths: &'a [PathPosture],
    /// The verdict of every swap area.
    pub swaps: &'a [PathPosture],
    /// The verdict of every directory that holds a keystore, in the snapshot's order of keystores.
    pub keystore_volumes: &'a [PathPosture],
    /// The verdict of every place of settings, in the snapshot's order of secrets.
    pub secret_volumes: &'a [PathPosture],
    /// Every spare of every md array.
    pub spares: &'a [Spare],
    /// For places that are nobody's asset of their own, such as a resume device.
    pub evaluator: &'a Evaluator<'a>,
    /// The verdict of every file that opens volumes, in the snapshot's order of them.
    pub boot_volumes: &'a [PathPosture],
}

/// Every check, in the order of the catalogue.
pub static ALL: &[&Check] = &[
    &volume_encrypted::CHECK,
    &swap_encrypted::CHECK,
    &hibernation_encrypted::CHECK,
    &core_dumps_contained::CHECK,
    &cipher_strength::CHECK,
    &reencryption_complete::CHECK,
    &luks_kdf::CHECK,
    &luks_keyslots::CHECK,
    &luks_header::CHECK,
    &key_file_exposed::CHECK,
    &boot_intent::CHECK,
    &volume_key_exposed::CHECK,
    &crypt_suspended::CHECK,
    &discards_allowed::CHECK,
    &spare_encrypted::CHECK,
    &names_exposed::CHECK,
    &symlink_leaves::CHECK,
    &keystore_permissions::CHECK,
    &keystore_password::CHECK,
    &keystore_format::CHECK,
    &keystore_at_rest::CHECK,
    &keystore_leftovers::CHECK,
    &plaintext_secret::CHECK,
    &kibana_saved_objects_key::CHECK,
    &cluster_state_encryption::CHECK,
    &repository_encrypted::CHECK,
    &repository_key::CHECK,
    &repository_old_objects::CHECK,
    &service_drift::CHECK,
    &agent_sight::CHECK,
];

/// The check with this id.
pub fn find(id: &str) -> Option<&'static Check> {
    ALL.iter().copied().find(|check| check.id == id)
}

/// NIST SP 800-53 revision 5.
pub(crate) const NIST_SC_28_1: Control = Control { framework: "NIST SP 800-53r5", id: "SC-28(1)" };
/// Cryptographic protection of backup information.
pub(crate) const NIST_CP_9_8: Control = Control { framework: "NIST SP 800-53r5", id: "CP-9(8)" };
pub(crate) const NIST_SC_12: Control = Control { framework: "NIST SP 800-53r5", id: "SC-12" };
/// Disk encryption alone does not satisfy this one on fixed disks; the text of the check says so.
pub(crate) const PCI_3_5_1_2: Control = Control { framework: "PCI DSS 4.0.1", id: "3.5.1.2" };
pub(crate) const PCI_3_5_1_3: Control = Control { framework: "PCI DSS 4.0.1", id: "3.5.1.3" };
pub(crate) const HIPAA_312: Control = Control { framework: "HIPAA", id: "164.312(a)(2)(iv)" };
pub(crate) const ISO_8_24: Control = Control { framework: "ISO 27001:2022", id: "A.8.24" };
pub(crate) const SOC2_CC6_1: Control = Control { framework: "SOC 2", id: "CC6.1" };
pub(crate) const CIS_3_11: Control = Control { framework: "CIS Controls 8.1", id: "3.11" };
pub(crate) const STIG_RHEL9: Control = Control { framework: "DISA STIG", id: "RHEL-09-231190" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_named_once_and_has_its_text() {
        let mut seen = std::collections::BTreeSet::new();
        for check in ALL {
            assert!(seen.insert(check.id), "{} twice", check.id);
            assert!(check.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            for text in [check.title, check.why, check.decides, check.remedy] {
                assert!(!text.is_empty(), "{} lacks text", check.id);
            }
            assert!(!check.controls.is_empty(), "{} supports no control", check.id);
        }
    }
}
