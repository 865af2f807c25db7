//! `crypt_suspended`: dm-crypt devices serve what is asked of them.

use atrest_proto::model::{Finding, Outcome, Severity};

use super::crypt_device::{CryptDevice, judge_devices};
use super::outcome::finding;
use super::{Check, Context, ISO_8_24, NIST_SC_12};
use crate::layer::device_mapper::crypt::Key;

pub(super) const CHECK: Check = Check {
    id: "crypt_suspended",
    title: "No dm-crypt device is suspended",
    why: "Whatever reads or writes a suspended device hangs until it is resumed, and a node on it drops out of its \
          cluster. After `cryptsetup luksSuspend` the key is gone from memory: the data is as safe as on a closed \
          device, and as far away.",
    decides: "By what device-mapper says of the device. Resizing and snapshots suspend a device for a moment: a second \
              scan tells those apart.",
    severity: Severity::Low,
    remedy: "`cryptsetup luksResume NAME` where `luksSuspend` wiped the key, `dmsetup resume NAME` elsewhere",
    controls: &[NIST_SC_12, ISO_8_24],
    evaluate,
};

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    judge_devices(&CHECK, context, judge)
}

fn judge(device: &CryptDevice<'_>) -> Finding {
    let (node, name) = (&device.node, &device.dm.name);
    if !device.dm.suspended {
        return finding(&CHECK, &device.asset, Outcome::Pass, format!("{node} is in use"));
    }
    let is_luks = device.dm.uuid.starts_with("CRYPT-LUKS");
    // The kernel forgets a reference to the keyring when it wipes the key: one that is still there is in force.
    let keeps_key = device
        .targets()
        .all(|(_, crypt)| crypt.is_some_and(|crypt| matches!(crypt.key, Key::Keyring(_))));
    let (what, remedy) = if keeps_key {
        ("its key is still there", format!("`dmsetup resume {name}`"))
    } else if is_luks {
        (
            "its key may have been wiped",
            format!("`cryptsetup luksResume {name}`, which asks for the passphrase"),
        )
    } else {
        (
            "its key may have been wiped",
            format!(
                "`dmsetup resume {name}`; where the kernel refuses that, close the device and open it again"
            ),
        )
    };
    let summary = format!("{node} is suspended: reads and writes hang; {what}");
    Finding { remedy, ..finding(&CHECK, &device.asset, Outcome::Fail, summary) }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::super::crypt_fixture::{
        KEYRING, crypt, facts, only, snapshot, table_key, unreadable,
    };
    use super::super::luks_fixture;
    use super::*;

    fn suspended(key: &str, uuid: &str) -> Finding {
        let mut suspended = crypt("aes-xts-plain64", key);
        let facts = facts(&mut suspended);
        facts.suspended = true;
        uuid.clone_into(&mut facts.uuid);
        only(&CHECK, &suspended)
    }

    #[test]
    fn a_device_in_use_passes() {
        assert_eq!(only(&CHECK, &crypt("aes-xts-plain64", KEYRING)).outcome, Outcome::Pass);
    }

    #[test]
    fn a_suspended_device_fails_and_says_how_to_resume_it() {
        for (key, uuid, remedy) in [
            (KEYRING.to_owned(), "CRYPT-LUKS2-0-es", "`dmsetup resume es`"),
            (table_key(512), "CRYPT-LUKS2-0-es", "`cryptsetup luksResume es`"),
            (table_key(512), "CRYPT-PLAIN-es", "open it again"),
        ] {
            let finding = suspended(&key, uuid);
            assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Low));
            assert!(finding.remedy.contains(remedy), "{}", finding.remedy);
        }
    }

    #[test]
    fn a_table_that_cannot_be_read_is_unknown() {
        let hidden = unreadable("CRYPT-LUKS2-0-es", Reason::NoPermission);
        assert_eq!(only(&CHECK, &hidden).outcome, Outcome::Unknown);
    }

    #[test]
    fn without_dm_crypt_it_does_not_apply() {
        let mut linear = snapshot(&["0 8 linear 8:17 0"]);
        facts(&mut linear).suspended = true;
        assert!(luks_fixture::evaluate(&CHECK, &linear).is_empty());
    }
}
