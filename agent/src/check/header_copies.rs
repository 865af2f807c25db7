//! The part of `luks_header` about headers in files: backups that lie about, and detached ones in use.
//!
//! A detached header on a plain disk is no more open than one at the start of its device, so of those only the rights
//! are judged. A backup is: it still has the keyslots that were removed since.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Outcome, PathPosture, Reason, Severity, Verdict};

use super::outcome::{finding, unknown};
use super::{Check, Context};
use crate::boot::{BootFile, Role, Search};
use crate::snapshot::Observed;

/// One finding for each header in a file.
pub(super) fn evaluate(check: &Check, context: &Context<'_>) -> Vec<Finding> {
    let surroundings = &context.snapshot.boot.surroundings;
    let volumes = context.boot_volumes;
    let accept_claims = context.policy.accept_claims;
    let backups = surroundings.of(Role::HeaderBackup).filter_map(|(at, file)| {
        let judged = backup(check, file, volumes.get(at)?, accept_claims);
        Some(Finding { evidence: evidence(file, &surroundings.search), ..judged })
    });
    backups
        .chain(surroundings.of(Role::DetachedHeader).map(|(_, file)| detached(check, file)))
        .collect()
}

fn backup(check: &Check, file: &BootFile, volume: &PathPosture, accept_claims: bool) -> Finding {
    let (asset, path) = (file.asset(), &file.id.path);
    let what = format!("the copy of a LUKS header in {path}");
    let mut problems = Vec::new();
    if matches!(volume.verdict, Verdict::Unencrypted | Verdict::Partial) {
        let devices: Vec<&str> = volume.plain.iter().map(|leg| leg.device.as_str()).collect();
        problems.push(format!(
            "header backup lies on plain disk ({}): whoever has it and an old passphrase opens the volume even after \
             the keyslot was removed",
            devices.join(", ")
        ));
    }
    problems.extend(readable(file));
    if !problems.is_empty() {
        return Finding {
            severity: Severity::Medium,
            remedy: format!(
                "keep the backup off this host, encrypted, then `shred -u {path}`; after a passphrase was given up, \
                 `cryptsetup reencrypt DEVICE` makes old backups useless"
            ),
            reasons: volume.reasons.clone(),
            ..finding(check, &asset, Outcome::Fail, format!("{path}: {}", problems.join("; ")))
        };
    }
    let doubt = match (&file.metadata, volume.verdict) {
        (Observed::Unreadable(trouble), _) => return unknown(check, &asset, &what, trouble),
        (Observed::Absent, _) => Some("its mode is not known"),
        (Observed::Known(_), Verdict::Claimed) if accept_claims => None,
        (Observed::Known(_), Verdict::Encrypted | Verdict::Volatile) => None,
        (Observed::Known(_), _) => {
            Some("whether the volume below is encrypted could not be decided")
        }
    };
    let Some(doubt) = doubt else {
        let summary = format!("{what} is for its owner only and lies on an encrypted volume");
        return finding(check, &asset, Outcome::Pass, summary);
    };
    Finding {
        severity: Severity::Medium,
        reasons: volume.reasons.clone(),
        ..finding(check, &asset, Outcome::Unknown, format!("{what}: {doubt}"))
    }
}

fn detached(check: &Check, file: &BootFile) -> Finding {
    let (asset, path) = (file.asset(), &file.id.path);
    let what = format!("{path}, detached header of {}", file.named_by.join(", "));
    match &file.metadata {
        Observed::Unreadable(trouble) => unknown(check, &asset, &what, trouble),
        Observed::Absent => Finding {
            reasons: vec![Reason::NotFound],
            remedy: "scan again with the disk in place that holds it; without it the volume cannot be opened again"
                .to_owned(),
            ..finding(
                check,
                &asset,
                Outcome::Unknown,
                format!("{what}, is not there: it may be on a removable disk"),
            )
        },
        Observed::Known(_) => match readable(file) {
            Some(problem) => Finding {
                severity: Severity::Medium,
                remedy: format!("`chmod 0600 {path}`"),
                ..finding(check, &asset, Outcome::Fail, format!("{what}: {problem}"))
            },
            None => finding(
                check,
                &asset,
                Outcome::Pass,
                format!("{what}, is there and not readable by others"),
            ),
        },
    }
}

/// Whether others than the owner can try passphrases on it. Root's group is root's own.
fn readable(file: &BootFile) -> Option<String> {
    let metadata = file.metadata.known()?;
    let others = metadata.mode & 0o004 != 0 || (metadata.mode & 0o040 != 0 && metadata.gid != 0);
    others.then(|| {
        format!(
            "others than its owner can read it (mode {:04o}) and try passphrases on it",
            metadata.mode
        )
    })
}

/// What was looked at, so that nobody takes it for a search of the whole disk.
fn evidence(file: &BootFile, search: &Search) -> BTreeMap<String, String> {
    let mut evidence = BTreeMap::from([
        ("looked_at".to_owned(), search.looked_at()),
        (
            "search".to_owned(),
            match search.capped_at {
                Some(cap) => format!("ended at {cap} names: there may be more"),
                None => format!("{} names, files of 592 bytes to 64 MiB", search.entries),
            },
        ),
    ]);
    if let Observed::Known(metadata) = &file.metadata {
        evidence.insert("mode".to_owned(), format!("{:04o}", metadata.mode));
        evidence.insert("size".to_owned(), metadata.size.to_string());
    }
    evidence
}

#[cfg(test)]
mod tests {
    use super::super::boot_fixture::{self, file, host};
    use super::super::luks_header;
    use super::*;
    use crate::snapshot::Trouble;

    /// What `luks_header` says of a file, beside the volume itself.
    fn found(role: Role, path: &str, mode: u32, change: impl FnOnce(&mut BootFile)) -> Finding {
        let mut snapshot = host("", "", "");
        let mut header = file(role, path, mode);
        change(&mut header);
        snapshot.boot.surroundings.files = vec![header];
        snapshot.boot.surroundings.search.looked = vec!["/root".into()];
        let findings = boot_fixture::evaluate(&luks_header::CHECK, &snapshot);
        assert!(findings.iter().any(|finding| finding.asset == "luks:/dev/sdb1"));
        findings.into_iter().find(|finding| finding.asset == format!("file:{path}")).unwrap()
    }

    #[test]
    fn a_backup_on_a_plain_disk_fails() {
        let finding = found(Role::HeaderBackup, "/root/h.img", 0o400, |_| {});
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Medium));
        assert!(finding.summary.contains("header backup lies on plain disk (/dev/sda1)"));
        assert!(finding.remedy.contains("shred -u /root/h.img"));
        assert_eq!(finding.evidence["looked_at"], "/root");
    }

    #[test]
    fn a_backup_that_others_read_fails_wherever_it_lies() {
        let finding = found(Role::HeaderBackup, "/srv/es/h.img", 0o644, |_| {});
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.summary.contains("mode 0644") && !finding.summary.contains("plain disk"));
        let passes = found(Role::HeaderBackup, "/srv/es/h.img", 0o640, |_| {});
        assert_eq!(passes.outcome, Outcome::Pass);
    }

    #[test]
    fn a_backup_whose_place_or_mode_is_not_known_is_unknown() {
        let refused = || Observed::Unreadable(Trouble::new(Reason::NoPermission, "denied"));
        let path = "/srv/es/h.img";
        let finding = found(Role::HeaderBackup, path, 0o400, |file| file.metadata = refused());
        assert_eq!(finding.outcome, Outcome::Unknown);
        let hidden = Observed::Unreadable(Trouble::new(Reason::Timeout, "no answer"));
        let finding = found(Role::HeaderBackup, path, 0o400, |file| file.resolution = hidden);
        assert_eq!((finding.outcome, finding.reasons), (Outcome::Unknown, vec![Reason::Timeout]));
    }

    #[test]
    fn of_a_detached_header_the_rights_count_and_not_the_disk() {
        let outcome = |mode| found(Role::DetachedHeader, "/boot/h.img", mode, |_| {}).outcome;
        assert_eq!((outcome(0o600), outcome(0o644)), (Outcome::Pass, Outcome::Fail));
        let finding = found(Role::DetachedHeader, "/boot/h.img", 0, |file| {
            file.metadata = Observed::Absent;
        });
        assert_eq!((finding.outcome, finding.reasons), (Outcome::Unknown, vec![Reason::NotFound]));
    }
}
