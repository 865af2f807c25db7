//! `reencryption_complete`: no device is left between plaintext and ciphertext, or between two keys.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Outcome, Severity};

use super::crypt_device::asset;
use super::outcome::{finding, unknown};
use super::{CIS_3_11, Check, Context, HIPAA_312, ISO_8_24, NIST_SC_12, NIST_SC_28_1, SOC2_CC6_1};
use crate::layer::device_mapper::crypt;
use crate::luks::Header;
use crate::snapshot::{BlockDevice, DmTarget, Observed, Snapshot};

pub(super) const CHECK: Check = Check {
    id: "reencryption_complete",
    title: "Encryption and re-encryption of dm-crypt devices have come to their end",
    why: "A re-encryption that was interrupted is easily forgotten: the device works, has a LUKS header, and holds \
          plaintext where it did not get to. One from key to key keeps the old key in use.",
    decides: "By the kernel's live table: a device all of whose sectors are mapped through dm-crypt is done, one of which \
              some are not is not. By the LUKS2 header: a requirement of re-encryption, or a segment under it, says that \
              one is under way, and data segments that are all linear that it was only prepared.",
    severity: Severity::High,
    remedy: "`cryptsetup reencrypt --resume-only DEVICE`, which may run while the device is in use",
    controls: &[NIST_SC_28_1, NIST_SC_12, HIPAA_312, ISO_8_24, SOC2_CC6_1, CIS_3_11],
    evaluate,
};

/// What libcryptsetup puts before the UUID of a LUKS device. No proof, but reason to look for a header.
const OPENED_FROM: [&str; 2] = ["CRYPT-LUKS1-", "CRYPT-LUKS2-"];

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    context.snapshot.devices.values().filter_map(|device| judge(device, context.snapshot)).collect()
}

fn judge(device: &BlockDevice, snapshot: &Snapshot) -> Option<Finding> {
    let dm = device.dm.as_ref()?;
    let is_luks = OPENED_FROM.iter().any(|prefix| dm.uuid.starts_with(prefix));
    let (node, asset) = (device.node(), asset(&device.node()));
    let table = match &dm.table {
        Observed::Known(table) => table,
        Observed::Unreadable(trouble) if is_luks => {
            return Some(unknown(&CHECK, &asset, &format!("the table of {node}"), trouble));
        }
        Observed::Unreadable(_) | Observed::Absent => return None,
    };
    let has_crypt = table.iter().any(|target| target.kind == "crypt");
    if !has_crypt && !is_luks {
        return None;
    }
    let has_header = |holder: &&BlockDevice| {
        matches!(snapshot.luks.get(&holder.number), Some(Observed::Known(_)))
    };
    let holders = || crypt::header_holders(dm, &snapshot.devices);
    let holder = holders().find(has_header).or_else(|| holders().next());
    let volume = holder.map_or(node.clone(), BlockDevice::node);
    let header = holder.and_then(|holder| snapshot.luks.get(&holder.number));
    let share = Share::of(table);
    let say = |outcome, summary: String| {
        let judged = finding(&CHECK, &asset, outcome, summary);
        Finding {
            remedy: judged.remedy.replace("DEVICE", &volume),
            evidence: evidence(&share, header.and_then(Observed::known)),
            ..judged
        }
    };
    let under_way = header.and_then(Observed::known).is_some_and(is_under_way);
    if !share.is_whole() {
        return if has_crypt
            || under_way
            || header.and_then(Observed::known).is_some_and(is_only_prepared)
        {
            Some(say(Outcome::Fail, unfinished(&node, &share, has_crypt, under_way)))
        } else {
            Some(without_crypt(&node, header, say))
        };
    }
    if under_way {
        let summary = format!(
            "{node}: a re-encryption of {volume} from one key to another has not come to its end"
        );
        return Some(Finding { severity: Severity::Medium, ..say(Outcome::Fail, summary) });
    }
    match header {
        Some(Observed::Unreadable(trouble)) => {
            Some(unknown(&CHECK, &asset, &format!("the LUKS header of {volume}"), trouble))
        }
        None if is_luks => Some(say(
            Outcome::Unknown,
            format!("{node}: the device with its LUKS header was not found"),
        )),
        // As with a header that is kept elsewhere: segments with keys of their own may be what is left to do.
        Some(Observed::Absent) if is_luks && table.len() > 1 => Some(say(
            Outcome::Unknown,
            format!("{node} has several segments, and no header below says why"),
        )),
        Some(Observed::Known(_) | Observed::Absent) | None => {
            Some(say(Outcome::Pass, format!("every sector of {node} is mapped through dm-crypt")))
        }
    }
}

/// A device with the UUID of a LUKS volume of which nothing is encrypted.
fn without_crypt(
    node: &str,
    header: Option<&Observed<Header>>,
    say: impl Fn(Outcome, String) -> Finding,
) -> Finding {
    match header {
        Some(Observed::Absent) => say(
            Outcome::NotApplicable,
            format!(
                "{node} has the UUID of a LUKS device, and neither dm-crypt nor a header below"
            ),
        ),
        Some(Observed::Known(_)) => say(
            Outcome::Fail,
            format!(
                "{node}: none of its sectors is mapped through dm-crypt, although a LUKS header lies below"
            ),
        ),
        Some(Observed::Unreadable(trouble)) => Finding {
            reasons: vec![trouble.reason],
            remedy: "see that the header can be read, then scan again".to_owned(),
            ..say(
                Outcome::Unknown,
                format!(
                    "{node}: nothing is encrypted, and whether it is to be is not known: {}",
                    trouble.detail
                ),
            )
        },
        None => say(
            Outcome::Unknown,
            format!("{node}: nothing is encrypted, and whether it is to be is not known"),
        ),
    }
}

fn unfinished(node: &str, share: &Share, has_crypt: bool, under_way: bool) -> String {
    let percent = share.percent();
    if share.encrypted == 0 && has_crypt {
        format!("{node}: none of its sectors is mapped through a cipher")
    } else if share.encrypted == 0 {
        format!(
            "{node}: encryption was prepared and has not begun: none of its sectors is encrypted"
        )
    } else if under_way {
        format!(
            "{node}: re-encryption has not come to its end: {percent}% of its sectors are encrypted"
        )
    } else {
        format!("{node}: only {percent}% of its sectors are mapped through dm-crypt")
    }
}

/// How much of a device is encrypted, in sectors of 512 bytes.
struct Share {
    encrypted: u64,
    all: u64,
}

impl Share {
    fn of(table: &[DmTarget]) -> Self {
        let sum = |targets: &mut dyn Iterator<Item = &DmTarget>| {
            targets.fold(0_u64, |sum, target| sum.saturating_add(target.length))
        };
        // A line that makes no sense and a null cipher are not proof.
        let encrypts = |target: &&DmTarget| {
            target.kind == "crypt"
                && crypt::read(target).is_some_and(|crypt| !crypt::is_null(&crypt))
        };
        Self { encrypted: sum(&mut table.iter().filter(encrypts)), all: sum(&mut table.iter()) }
    }

    const fn is_whole(&self) -> bool {
        self.encrypted == self.all
    }

    /// Rounded down: 100 only when all is done.
    fn percent(&self) -> u64 {
        let (encrypted, all) = (u128::from(self.encrypted), u128::from(self.all.max(1)));
        u64::try_from(encrypted * 100 / all).unwrap_or(0)
    }
}

fn evidence(share: &Share, header: Option<&Header>) -> BTreeMap<String, String> {
    let requirements = header.map(|header| header.requirements.join(" ")).unwrap_or_default();
    [
        ("encrypted_sectors", share.encrypted.to_string()),
        ("sectors", share.all.to_string()),
        ("percent", share.percent().to_string()),
        ("requirements", requirements),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn is_under_way(header: &Header) -> bool {
    // `online-reencrypt`, `online-reencrypt-v2`, `offline-reencrypt`, …
    header.requirements.iter().any(|word| word.contains("reencrypt"))
        || header
            .segments
            .iter()
            .any(|segment| segment.flags.iter().any(|flag| flag == "in-reencryption"))
}

fn is_only_prepared(header: &Header) -> bool {
    let mut data = header.segments.iter().filter(|segment| !segment.is_backup()).peekable();
    data.peek().is_some() && data.all(|segment| segment.kind == "linear")
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::super::crypt_fixture::{KEYRING, facts, only, snapshot, unreadable};
    use super::super::luks_fixture;
    use super::*;
    use crate::luks::Segment;
    use crate::snapshot::Trouble;

    const CRYPT: &str = "0 600 crypt aes-xts-plain64 :64:logon:x:y 0 8:17 32768";
    const LINEAR: &str = "600 400 linear 8:17 33368";

    fn with_header(mut snapshot: Snapshot, change: impl FnOnce(&mut Header)) -> Snapshot {
        let mut header = luks_fixture::header(vec![luks_fixture::slot(0)], Vec::new());
        change(&mut header);
        snapshot.luks.values_mut().for_each(|found| *found = Observed::Known(header.clone()));
        snapshot
    }

    fn segment(kind: &str, flags: &[&str]) -> Segment {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Segment { number: 0, kind: kind.to_owned(), cipher: String::new(), flags }
    }

    fn with_luks(mut snapshot: Snapshot, luks: &Observed<Header>) -> Snapshot {
        snapshot.luks.values_mut().for_each(|found| *found = luks.clone());
        snapshot
    }

    #[test]
    fn a_device_that_is_all_crypt_passes() {
        let finding = only(&CHECK, &snapshot(&[CRYPT]));
        assert_eq!((finding.outcome, finding.evidence["percent"].as_str()), (Outcome::Pass, "100"));
        let mut plain = with_luks(snapshot(&[CRYPT]), &Observed::Absent);
        "CRYPT-PLAIN-es".clone_into(&mut facts(&mut plain).uuid);
        assert_eq!(only(&CHECK, &plain).outcome, Outcome::Pass);
    }

    #[test]
    fn a_device_of_which_a_part_is_plain_fails_and_says_how_far_it_is() {
        let finding = only(&CHECK, &snapshot(&[CRYPT, LINEAR]));
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::High));
        assert!(finding.summary.contains("60%"), "{}", finding.summary);
        assert_eq!(finding.evidence["encrypted_sectors"], "600");
        let marked = with_header(snapshot(&[CRYPT, LINEAR]), |header| {
            header.requirements = vec!["online-reencrypt-v2".to_owned()];
        });
        let finding = only(&CHECK, &marked);
        assert!(finding.summary.contains("re-encryption has not come to its end"), "{finding:?}");
        assert_eq!(finding.evidence["requirements"], "online-reencrypt-v2");
        assert!(finding.remedy.contains("--resume-only /dev/sdb1"));
    }

    #[test]
    fn the_percentage_never_rounds_up_to_done() {
        let crypt = format!("0 999999 crypt aes-xts-plain64 {KEYRING} 0 8:17 0");
        let finding = only(&CHECK, &snapshot(&[&crypt, "999999 1 linear 8:17 999999"]));
        assert_eq!((finding.outcome, finding.evidence["percent"].as_str()), (Outcome::Fail, "99"));
    }

    #[test]
    fn a_null_cipher_is_not_encrypted() {
        let null = "0 600 crypt cipher_null-ecb - 0 8:17 0";
        assert_eq!(only(&CHECK, &snapshot(&[null])).outcome, Outcome::Fail);
    }

    #[test]
    fn encryption_that_has_not_begun_fails() {
        let prepared = with_header(snapshot(&["0 1000 linear 8:17 32768"]), |header| {
            header.segments = vec![segment("linear", &[]), segment("crypt", &["backup-final"])];
        });
        let finding = only(&CHECK, &prepared);
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::High));
        assert!(finding.summary.contains("has not begun"), "{}", finding.summary);
        assert_eq!(finding.evidence["percent"], "0");
    }

    #[test]
    fn from_key_to_key_is_less_severe() {
        let moving = with_header(snapshot(&[CRYPT]), |header| {
            header.segments = vec![segment("crypt", &["in-reencryption"])];
        });
        let finding = only(&CHECK, &moving);
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Medium));
    }

    #[test]
    fn without_a_header_to_ask_it_is_unknown() {
        let trouble = || Observed::Unreadable(Trouble::new(Reason::NoPermission, "denied"));
        let crypt = only(&CHECK, &with_luks(snapshot(&[CRYPT]), &trouble()));
        assert_eq!((crypt.outcome, crypt.reasons), (Outcome::Unknown, vec![Reason::NoPermission]));
        let linear = only(&CHECK, &with_luks(snapshot(&["0 8 linear 8:17 0"]), &trouble()));
        assert_eq!(linear.outcome, Outcome::Unknown);
        let mut gone = snapshot(&[CRYPT]);
        gone.luks.clear();
        assert_eq!(only(&CHECK, &gone).outcome, Outcome::Unknown);
        // What the table shows to be plain fails all the same.
        assert_eq!(
            only(&CHECK, &with_luks(snapshot(&[CRYPT, LINEAR]), &trouble())).outcome,
            Outcome::Fail
        );
        let hidden = only(&CHECK, &unreadable("CRYPT-LUKS2-0-es", Reason::NoPermission));
        assert_eq!(hidden.outcome, Outcome::Unknown);
    }

    #[test]
    fn without_its_header_several_segments_are_unknown() {
        let second = "600 400 crypt aes-xts-plain64 :64:logon:x:z 600 8:17 33368";
        let detached = |table: &[&str]| with_luks(snapshot(table), &Observed::Absent);
        assert_eq!(only(&CHECK, &detached(&[CRYPT])).outcome, Outcome::Pass);
        assert_eq!(only(&CHECK, &detached(&[CRYPT, second])).outcome, Outcome::Unknown);
    }

    #[test]
    fn a_uuid_that_lies_does_not_apply() {
        let lies = with_luks(snapshot(&["0 8 linear 8:17 0"]), &Observed::Absent);
        assert_eq!(only(&CHECK, &lies).outcome, Outcome::NotApplicable);
        let mut volume = lies;
        "LVM-0".clone_into(&mut facts(&mut volume).uuid);
        assert!(luks_fixture::evaluate(&CHECK, &volume).is_empty());
    }
}
