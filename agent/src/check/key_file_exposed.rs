//! `key_file_exposed`: a key file is no easier to get at than what it opens.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::{Finding, Outcome, PathPosture, Reason, Severity, Verdict};

use super::boot_devices;
use super::outcome::{finding, unknown};
use super::{
    CIS_3_11, Check, Context, ISO_8_24, NIST_SC_12, NIST_SC_28_1, PCI_3_5_1_3, SOC2_CC6_1,
};
use crate::boot::{self, BootFile, Role, initramfs};
use crate::crypttab::Key;
use crate::host::{FileKind, Metadata};
use crate::snapshot::{Observed, Snapshot};

pub(super) const CHECK: Check = Check {
    id: "key_file_exposed",
    title: "Key files lie on encrypted volumes and only root can read them",
    why: "A key file on a plain disk, or in an initramfs on a plain /boot, goes with the disk: whoever takes it opens \
          the volume without a passphrase. What it opens is then encrypted in name only.",
    decides: "Takes the key files that /etc/crypttab, the kernel command line and the configuration of the initramfs \
              name, and systemd's default ones. Proves the volume below each as for every path; group and others must \
              have no rights and root must be the owner; an initramfs that gets a copy must lie on an encrypted volume \
              and be readable for root only. Contents are never read. A file that is not there is unknown: it may be on \
              a removable disk. One that a key script takes may itself be encrypted, so that it passes or is unknown.",
    severity: Severity::High,
    remedy: "move the key file onto an encrypted volume or bind the volume to a TPM or Tang server, and replace the key, \
             since it has lain open: `cryptsetup luksChangeKey DEVICE --key-file FILE`",
    controls: &[NIST_SC_12, NIST_SC_28_1, PCI_3_5_1_3, ISO_8_24, SOC2_CC6_1, CIS_3_11],
    evaluate,
};

/// What stands for all key files of the host.
const ASSET: &str = "boot:";

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    let seen = &context.snapshot.boot;
    let mut findings: Vec<Finding> = seen
        .surroundings
        .of(Role::KeyFile)
        .filter_map(|(at, file)| judge(context, file, context.boot_volumes.get(at)?))
        .collect();
    let hidden = seen.crypttab.trouble().or_else(|| seen.cmdline.trouble());
    if let Some(trouble) = hidden.filter(|_| boot::may_encrypt(&context.snapshot.devices)) {
        findings.push(unknown(&CHECK, ASSET, "what names the key files", trouble));
    }
    if findings.is_empty() {
        let summary = "no key file is named for any volume".to_owned();
        findings.push(finding(&CHECK, ASSET, Outcome::NotApplicable, summary));
    }
    findings
}

/// What speaks against a file, for sure and perhaps, and what to do about it.
#[derive(Default)]
struct Case {
    problems: Vec<String>,
    doubts: Vec<(String, Reason)>,
    steps: Vec<String>,
}

fn judge(context: &Context<'_>, file: &BootFile, volume: &PathPosture) -> Option<Finding> {
    let (asset, path) = (file.asset(), &file.id.path);
    let what = format!("{path}, key file of {}", file.named_by.join(", "));
    match (&file.resolution, &file.id.on) {
        // Nobody said that there should be one.
        (Observed::Absent, _) if file.is_default => return None,
        (Observed::Absent, on) => {
            let summary = match on {
                Some(on) => format!("{what}, is on {on}, which is not there: it may be removable"),
                None => format!("{what}, is not there: it may be on a removable disk"),
            };
            return Some(Finding {
                reasons: vec![Reason::NotFound],
                remedy: format!("scan again with the disk in place, or correct what names {path}"),
                ..finding(&CHECK, &asset, Outcome::Unknown, summary)
            });
        }
        (Observed::Unreadable(trouble), _) => {
            return Some(unknown(&CHECK, &asset, &what, trouble));
        }
        (Observed::Known(_), _) => {}
    }
    let mut case = Case::default();
    place(&mut case, "it lies", volume, context.policy.accept_claims);
    if !case.problems.is_empty() {
        let device = opened_device(context.snapshot, file);
        let remedy = CHECK.remedy.replace("DEVICE", device.as_deref().unwrap_or("DEVICE"));
        case.steps.push(remedy.replace("FILE", &path.to_string()));
    }
    if file.id.on.is_none() {
        match &file.metadata {
            Observed::Known(metadata) => rights(&mut case, file, metadata),
            Observed::Absent => {
                case.doubts.push(("its mode is not known".to_owned(), Reason::Unreadable));
            }
            Observed::Unreadable(trouble) => {
                case.doubts.push((
                    format!("its mode could not be read: {}", trouble.detail),
                    trouble.reason,
                ));
            }
        }
        copies(&mut case, context, file);
    }
    if file.is_wrapped {
        let wrapped = case
            .problems
            .drain(..)
            .map(|problem| (format!("a key script takes it, and {problem}"), Reason::Unreadable));
        case.doubts.extend(wrapped);
    }
    Some(conclude(&asset, &what, file, volume, case))
}

fn conclude(asset: &str, what: &str, file: &BootFile, volume: &PathPosture, case: Case) -> Finding {
    let Case { problems, doubts, steps } = case;
    let mut judged = if !problems.is_empty() {
        let summary = format!("{what}: {}", problems.join("; "));
        finding(&CHECK, asset, Outcome::Fail, summary)
    } else if doubts.is_empty() {
        let summary =
            format!("{what}, is for root only and lies on an encrypted volume or in memory");
        finding(&CHECK, asset, Outcome::Pass, summary)
    } else {
        let texts: Vec<&str> = doubts.iter().map(|(text, _)| text.as_str()).collect();
        let summary = format!("{what}: {}", texts.join("; "));
        finding(&CHECK, asset, Outcome::Unknown, summary)
    };
    judged.reasons = match judged.outcome {
        Outcome::Fail => volume.reasons.clone(),
        Outcome::Unknown => doubts.iter().map(|(_, reason)| *reason).collect(),
        Outcome::Pass | Outcome::NotApplicable => Vec::new(),
    };
    judged.reasons.sort_unstable();
    judged.reasons.dedup();
    match judged.outcome {
        Outcome::Fail => judged.remedy = steps.join(", then "),
        Outcome::Unknown if doubts.iter().any(|(_, why)| *why == Reason::NoPermission) => {
            "run the agent as root".clone_into(&mut judged.remedy);
        }
        Outcome::Unknown => {
            "look at what the summary names, then scan again".clone_into(&mut judged.remedy);
        }
        Outcome::Pass | Outcome::NotApplicable => {}
    }
    judged.evidence = evidence(file, volume);
    judged
}

fn evidence(file: &BootFile, volume: &PathPosture) -> BTreeMap<String, String> {
    let mut evidence = BTreeMap::from([
        ("named_by".to_owned(), file.named_by.join(", ")),
        ("verdict".to_owned(), volume.verdict.to_string()),
    ]);
    if let Observed::Known(metadata) = &file.metadata {
        evidence.insert("mode".to_owned(), format!("{:04o}", metadata.mode));
        evidence.insert("owner".to_owned(), metadata.uid.to_string());
        evidence.insert("size".to_owned(), metadata.size.to_string());
    }
    evidence
}

/// Judges where something lies; `lies` starts the clause.
fn place(case: &mut Case, lies: &str, volume: &PathPosture, accept_claims: bool) {
    match volume.verdict {
        Verdict::Encrypted | Verdict::Volatile => {}
        Verdict::Claimed if accept_claims => {}
        Verdict::Unencrypted | Verdict::Partial => {
            let devices: Vec<&str> = volume.plain.iter().map(|leg| leg.device.as_str()).collect();
            case.problems.push(format!("{lies} in plaintext on {}", devices.join(", ")));
        }
        Verdict::Claimed | Verdict::Unknown => {
            let why = volume.undecided.first().map_or("not proven", |leg| leg.detail.as_str());
            let reason = volume.reasons.first().copied().unwrap_or(Reason::Unreadable);
            case.doubts.push((format!("whether {lies} on an encrypted volume: {why}"), reason));
        }
    }
}

fn rights(case: &mut Case, file: &BootFile, metadata: &Metadata) {
    let path = &file.id.path;
    match metadata.kind {
        FileKind::File => {}
        // A key on a raw device: its node has rights of its own, and its place was judged.
        FileKind::BlockDevice => return,
        FileKind::Directory | FileKind::Symlink | FileKind::Other => {
            case.doubts.push(("it is not a regular file".to_owned(), Reason::Unreadable));
            return;
        }
    }
    if metadata.uid != 0 {
        case.problems.push(format!("its owner is user {}, not root", metadata.uid));
        case.steps.push(format!("`chown root:root {path}`"));
    }
    let who = match (metadata.mode & 0o070 != 0, metadata.mode & 0o007 != 0) {
        (true, true) => "its group and others",
        (true, false) => "its group",
        (false, true) => "others",
        (false, false) => return,
    };
    case.problems.push(format!("{who} have rights on it (mode {:04o})", metadata.mode));
    case.steps.push(format!("`chmod 0400 {path}`"));
}

/// An initramfs that gets a copy of the key gives it to who can read the image.
fn copies(case: &mut Case, context: &Context<'_>, file: &BootFile) {
    let surroundings = &context.snapshot.boot.surroundings;
    let path = &file.id.path;
    let copied = surroundings
        .initramfs
        .copies
        .iter()
        .find(|copied| initramfs::matches(copied.pattern.as_bytes(), path.as_bytes()));
    let Some(copied) = copied else { return };
    let said_by = &copied.said_by;
    let images: Vec<(&BootFile, &PathPosture)> = surroundings
        .of(Role::InitramfsImage)
        .filter_map(|(at, image)| Some((image, context.boot_volumes.get(at)?)))
        .collect();
    if images.is_empty() {
        let doubt = format!("{said_by} copies it into an initramfs, and none was found in /boot");
        case.doubts.push((doubt, Reason::NotFound));
    }
    // Images lie side by side: one stands for all on its volume.
    let mut volumes = BTreeSet::new();
    for (image, volume) in &images {
        let devices: Vec<&str> = volume.plain.iter().map(|leg| leg.device.as_str()).collect();
        if !volumes.insert((volume.verdict, devices)) {
            continue;
        }
        let before = case.problems.len();
        let lies = format!("its copy in {} (said by {said_by}) lies", image.id.path);
        place(case, &lies, volume, context.policy.accept_claims);
        if case.problems.len() > before {
            case.steps.push(format!(
                "take {path} out of {said_by} and make the images anew (`update-initramfs -u -k all`, `dracut -f \
                 --regenerate-all` or `mkinitcpio -P`), or encrypt the volume of /boot"
            ));
        }
    }
    readable_images(case, images.iter().map(|(image, _)| *image), surroundings.initramfs.umask);
}

fn readable_images<'a>(
    case: &mut Case,
    images: impl Iterator<Item = &'a BootFile>,
    umask: Option<u32>,
) {
    let mut readable = Vec::new();
    for image in images {
        match &image.metadata {
            Observed::Known(metadata) if metadata.mode & 0o044 != 0 => {
                readable.push(image.id.path.to_string());
            }
            Observed::Known(_) => {}
            Observed::Absent | Observed::Unreadable(_) => {
                let doubt = format!("the mode of {} is not known", image.id.path);
                case.doubts.push((doubt, Reason::Unreadable));
            }
        }
    }
    if readable.is_empty() {
        return;
    }
    let readable = readable.join(" ");
    case.problems.push(format!("others than root can read its copy in {readable}"));
    let keeps = umask.is_some_and(|umask| umask & 0o044 == 0o044);
    let setting = if keeps {
        ""
    } else {
        ", and `UMASK=0077` in /etc/initramfs-tools/initramfs.conf where that makes them"
    };
    case.steps.push(format!("`chmod 0600 {readable}`{setting}"));
}

/// The device whose key a file is, as an operator would type it.
fn opened_device(snapshot: &Snapshot, file: &BootFile) -> Option<String> {
    let table = snapshot.boot.crypttab.known()?;
    let entry = table.entries.iter().find(|entry| match &entry.key {
        Key::File { path, .. } => path.normalised() == file.id.path,
        Key::Unnamed => file.named_by.contains(&format!("crypttab ({})", entry.name)),
        Key::Random(_) | Key::Other => false,
    })?;
    let live = boot_devices::named(snapshot, &entry.name)
        .and_then(|device| boot_devices::below(snapshot, device.number));
    Some(live.map_or_else(|| entry.device.to_string(), |below| boot_devices::node(snapshot, below)))
}

#[cfg(test)]
mod tests {
    use super::super::boot_fixture::{self, file, host};
    use super::*;
    use crate::boot::initramfs::Copied;
    use crate::boot::source::Source;
    use crate::snapshot::Trouble;

    const PLAIN: &str = "/etc/es.key";
    const ENCRYPTED: &str = "/srv/es/es.key";

    /// The finding for a key file on that host.
    fn found(path: &str, mode: u32, change: impl FnOnce(&mut BootFile)) -> Finding {
        let mut key = file(Role::KeyFile, path, mode);
        change(&mut key);
        all(vec![key], &[]).remove(0)
    }

    fn all(files: Vec<BootFile>, copies: &[&str]) -> Vec<Finding> {
        let mut snapshot = host("", "", "");
        let copied = |pattern: &&str| Copied {
            pattern: (*pattern).into(),
            said_by: "/etc/cryptsetup-initramfs/conf-hook".into(),
        };
        snapshot.boot.surroundings.initramfs.copies = copies.iter().map(copied).collect();
        snapshot.boot.surroundings.files = files;
        boot_fixture::evaluate(&CHECK, &snapshot)
    }

    fn fails(finding: &Finding, part: &str) {
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::High));
        assert!(finding.summary.contains(part), "{}", finding.summary);
    }

    #[test]
    fn on_an_encrypted_volume_or_in_memory_and_for_root_only_it_passes() {
        for path in [ENCRYPTED, "/run/cryptsetup-keys.d/es.key"] {
            let finding = found(path, 0o400, |_| {});
            assert_eq!(finding.outcome, Outcome::Pass, "{finding:?}");
            assert_eq!(finding.asset, format!("file:{path}"));
        }
    }

    #[test]
    fn on_a_plain_disk_it_fails_and_the_disk_is_named() {
        let finding = found(PLAIN, 0o400, |_| {});
        fails(&finding, "plaintext on /dev/sda1");
        assert!(finding.summary.contains("crypttab (es)"));
        assert!(finding.remedy.contains("luksChangeKey DEVICE --key-file /etc/es.key"));
        let mut snapshot = host("es UUID=1 /etc/es.key luks", "", "");
        snapshot.boot.surroundings.files = vec![file(Role::KeyFile, PLAIN, 0o400)];
        let remedy = boot_fixture::evaluate(&CHECK, &snapshot).remove(0).remedy;
        assert!(remedy.contains("luksChangeKey /dev/sdb1 --key-file /etc/es.key"), "{remedy}");
        assert_eq!(finding.reasons, [Reason::PlainDevice]);
    }

    #[test]
    fn rights_of_others_and_another_owner_fail() {
        fails(&found(ENCRYPTED, 0o640, |_| {}), "its group have rights");
        fails(&found(ENCRYPTED, 0o604, |_| {}), "others have rights");
        let finding = found(ENCRYPTED, 0o444, |_| {});
        fails(&finding, "its group and others have rights on it (mode 0444)");
        assert_eq!(finding.remedy, "`chmod 0400 /srv/es/es.key`");
        let finding = found(ENCRYPTED, 0o400, |key| {
            let mut metadata = key.metadata.known().unwrap().clone();
            metadata.uid = 1000;
            key.metadata = Observed::Known(metadata);
        });
        fails(&finding, "user 1000");
        assert!(finding.remedy.contains("chown root:root /srv/es/es.key"));
    }

    #[test]
    fn a_copy_in_an_initramfs_on_a_plain_boot_fails() {
        let key = || file(Role::KeyFile, ENCRYPTED, 0o400);
        let image = |path: &str, mode| file(Role::InitramfsImage, path, mode);
        let one = |image: BootFile, pattern: &str| all(vec![key(), image], &[pattern]).remove(0);
        let plain = "/boot/initrd.img-6.1";
        let finding = one(image(plain, 0o600), "/srv/es/*.key");
        fails(&finding, "its copy in /boot/initrd.img-6.1 (said by /etc/cryptsetup-initramfs");
        assert!(finding.remedy.contains("update-initramfs"));
        assert_eq!(one(image(plain, 0o644), "/etc/*").outcome, Outcome::Pass);
        let encrypted = "/srv/es/initrd.img-6.1";
        fails(
            &one(image(encrypted, 0o644), ENCRYPTED),
            "others than root can read its copy in /srv/es/initrd.img-6.1",
        );
        assert_eq!(one(image(encrypted, 0o600), ENCRYPTED).outcome, Outcome::Pass);
        let two = vec![key(), image(plain, 0o644), image("/boot/initrd.img-6.2", 0o644)];
        let two = all(two, &[ENCRYPTED]).remove(0);
        assert_eq!(two.summary.matches("plaintext").count(), 1, "{}", two.summary);
        assert!(two.remedy.contains("`chmod 0600 /boot/initrd.img-6.1 /boot/initrd.img-6.2`"));
        let without = all(vec![key()], &[ENCRYPTED]).remove(0);
        assert_eq!((without.outcome, without.reasons), (Outcome::Unknown, vec![Reason::NotFound]));
    }

    #[test]
    fn the_setting_is_asked_for_only_where_it_is_missing() {
        let image = file(Role::InitramfsImage, "/boot/initrd.img-6.1", 0o644);
        let steps = |umask| {
            let mut case = Case::default();
            readable_images(&mut case, std::iter::once(&image), umask);
            case.steps.concat()
        };
        assert!(steps(None).contains("UMASK=0077") && steps(Some(0o022)).contains("UMASK=0077"));
        assert_eq!(steps(Some(0o077)), "`chmod 0600 /boot/initrd.img-6.1`");
    }

    #[test]
    fn what_is_not_there_is_unknown_unless_it_is_only_a_default() {
        let gone = |key: &mut BootFile| {
            (key.resolution, key.metadata) = (Observed::Absent, Observed::Absent);
        };
        let finding = found(PLAIN, 0, gone);
        assert_eq!((finding.outcome, finding.reasons), (Outcome::Unknown, vec![Reason::NotFound]));
        let finding = found(PLAIN, 0, |key| {
            gone(key);
            key.is_default = true;
        });
        assert_eq!(finding.outcome, Outcome::NotApplicable);
        let finding = found(PLAIN, 0, |key| {
            gone(key);
            key.id.on = Some(Source::parse(b"LABEL=usb"));
        });
        assert_eq!(finding.outcome, Outcome::Unknown);
        assert!(finding.summary.contains("LABEL=usb"));
        assert_eq!(finding.asset, "file:/etc/es.key:LABEL=usb");
    }

    #[test]
    fn a_key_on_another_device_is_judged_by_that_device() {
        let on = |device: (u32, u32)| {
            found("/k", 0, |key| {
                key.id.on = Some(Source::parse(b"LABEL=usb"));
                key.metadata = Observed::Absent;
                key.resolution = Observed::Known(crate::snapshot::Resolved::node(
                    "/dev/x",
                    crate::snapshot::DeviceNumber::new(device.0, device.1),
                ));
            })
        };
        fails(&on((8, 1)), "/dev/sda1");
        assert_eq!(on((254, 0)).outcome, Outcome::Pass);
    }

    #[test]
    fn what_could_not_be_seen_never_passes() {
        let refused = || Trouble::new(Reason::NoPermission, "denied");
        let finding = found(ENCRYPTED, 0, |key| key.metadata = Observed::Unreadable(refused()));
        assert_eq!(finding.outcome, Outcome::Unknown);
        assert_eq!(finding.remedy, "run the agent as root");
        let finding = found(ENCRYPTED, 0, |key| key.resolution = Observed::Unreadable(refused()));
        assert_eq!(finding.outcome, Outcome::Unknown);
        assert_eq!(
            found(ENCRYPTED, 0, |key| key.metadata = Observed::Absent).outcome,
            Outcome::Unknown
        );
        let mut hidden = host("", "", "");
        hidden.boot.crypttab = Observed::Unreadable(refused());
        let finding = boot_fixture::evaluate(&CHECK, &hidden).remove(0);
        assert_eq!((finding.outcome, finding.asset.as_str()), (Outcome::Unknown, "boot:"));
    }

    #[test]
    fn what_a_key_script_takes_is_never_a_failure() {
        let wrapped = |path| found(path, 0o400, |key| key.is_wrapped = true).outcome;
        assert_eq!((wrapped(PLAIN), wrapped(ENCRYPTED)), (Outcome::Unknown, Outcome::Pass));
    }

    #[test]
    fn without_key_files_there_is_nothing_to_judge() {
        assert_eq!(all(Vec::new(), &[]).remove(0).outcome, Outcome::NotApplicable);
    }
}
