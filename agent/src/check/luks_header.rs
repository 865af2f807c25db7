//! `luks_header`: an open volume can be opened again, since its header is whole and its own.

use atrest_proto::model::{Finding, Outcome, Severity};

use super::header_copies;
use super::luks_volume::{LuksVolume, volumes};
use super::outcome::{finding, unknown};
use super::{Check, Context, ISO_8_24, NIST_SC_12, SOC2_CC6_1};
use crate::luks::Header;
use crate::snapshot::Observed;

pub(super) const CHECK: Check = Check {
    id: "luks_header",
    title: "An open LUKS volume still has its header",
    why: "A volume stays open when its header is overwritten, and nobody notices until the next reboot, when all data \
          is lost. A header of another volume in its place is as bad.",
    decides: "Compares the header on the device with what the open volume was made from, by version and UUID, and \
              tells when one of the two copies of a LUKS2 header is damaged. A header that is kept on another device \
              looks like a lost one: accept that with an exception. Of headers in files, those that crypttab names and \
              those that lie about in the usual places, the mode and, for backups, the volume below are judged.",
    severity: Severity::High,
    remedy: "do not close the volume or reboot; restore a header backup with `cryptsetup luksHeaderRestore`, or copy the \
             data to a new volume while this one is open",
    controls: &[NIST_SC_12, ISO_8_24, SOC2_CC6_1],
    evaluate,
};

/// What libcryptsetup puts before the header's UUID, without its dashes, when it opens a volume.
const OPENED_FROM: [(&str, u8); 2] = [("CRYPT-LUKS1-", 1), ("CRYPT-LUKS2-", 2)];

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    let own = volumes(context.snapshot);
    own.iter().filter_map(judge).chain(header_copies::evaluate(&CHECK, context)).collect()
}

fn judge(volume: &LuksVolume<'_>) -> Option<Finding> {
    let node = &volume.node;
    // Other crypt targets, such as plain ones, have no header to lose.
    let (version, uuid, opened) = volume.opened.iter().find_map(|dm| {
        let (rest, version) = OPENED_FROM
            .iter()
            .find_map(|(prefix, version)| Some((dm.uuid.strip_prefix(prefix)?, *version)))?;
        Some((version, rest.split('-').next().unwrap_or_default(), &dm.name))
    })?;
    let say = |outcome, summary| Some(finding(&CHECK, &volume.asset, outcome, summary));
    let header = match volume.header {
        Observed::Known(header) => header,
        Observed::Unreadable(trouble) => {
            return Some(unknown(
                &CHECK,
                &volume.asset,
                &format!("the LUKS header of {node}"),
                trouble,
            ));
        }
        Observed::Absent if volume.is_integrity => {
            return say(
                Outcome::Unknown,
                format!("{node} is dm-integrity: the header of {opened} lies below"),
            );
        }
        Observed::Absent => {
            return say(
                Outcome::Fail,
                format!("{node} has no LUKS header, although {opened} was opened from one"),
            );
        }
    };
    if header.version != version || header.uuid.replace('-', "") != uuid {
        let found = format!("LUKS{} {}", header.version, header.uuid);
        return say(
            Outcome::Fail,
            format!("{node} has the header of another volume ({found}) than {opened}"),
        );
    }
    if header.damaged.is_empty() {
        return say(Outcome::Pass, format!("{node} has the header that {opened} was opened from"));
    }
    Some(damaged(volume, header))
}

fn damaged(volume: &LuksVolume<'_>, header: &Header) -> Finding {
    let node = &volume.node;
    let copies = header.damaged.join(" and ");
    let summary =
        format!("{node}: the {copies} copy of the LUKS2 header is damaged, the other holds");
    Finding {
        severity: Severity::Medium,
        remedy: format!(
            "back up with `cryptsetup luksHeaderBackup {node}`, then `cryptsetup repair {node}`, and find out who wrote \
             to the start of the device"
        ),
        ..finding(&CHECK, &volume.asset, Outcome::Fail, summary)
    }
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::super::luks_fixture::{self, UUID, header, opened_as, slot, snapshot};
    use super::*;
    use crate::snapshot::{Snapshot, Trouble};

    fn found(snapshot: &Snapshot) -> Finding {
        luks_fixture::evaluate(&CHECK, snapshot).pop().unwrap()
    }

    fn own() -> Header {
        header(vec![slot(0)], Vec::new())
    }

    #[test]
    fn the_header_it_was_opened_from_passes() {
        let finding = found(&snapshot(Observed::Known(own())));
        assert_eq!(finding.outcome, Outcome::Pass);
        assert_eq!(finding.asset, "luks:/dev/sdb1");
    }

    #[test]
    fn a_lost_header_fails() {
        let finding = found(&snapshot(Observed::Absent));
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::High));
        assert!(finding.summary.contains("/dev/sdb1 has no LUKS header"));
    }

    #[test]
    fn a_header_of_another_volume_fails() {
        let other = Header { uuid: UUID.replace('2', "3"), ..own() };
        assert_eq!(found(&snapshot(Observed::Known(other))).outcome, Outcome::Fail);
        let converted = Header { version: 1, ..own() };
        assert_eq!(found(&snapshot(Observed::Known(converted))).outcome, Outcome::Fail);
    }

    #[test]
    fn a_damaged_copy_fails_while_there_is_another() {
        let damaged = Header { damaged: vec!["secondary".to_owned()], ..own() };
        let finding = found(&snapshot(Observed::Known(damaged)));
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Medium));
        assert!(finding.remedy.contains("cryptsetup repair /dev/sdb1"));
    }

    #[test]
    fn a_header_that_cannot_be_read_is_unknown() {
        let trouble = Trouble::new(Reason::NoPermission, "Permission denied");
        let finding = found(&snapshot(Observed::Unreadable(trouble)));
        assert_eq!(
            (finding.outcome, finding.reasons),
            (Outcome::Unknown, vec![Reason::NoPermission])
        );
    }

    #[test]
    fn plain_crypt_has_no_header_to_lose() {
        let snapshot = opened_as("CRYPT-PLAIN-es", Observed::Absent);
        assert!(luks_fixture::evaluate(&CHECK, &snapshot).is_empty());
    }
}
