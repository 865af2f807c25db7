//! `boot_intent`: what is set up for the next boot is what runs now.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::{Finding, Outcome, Severity};

use super::boot_devices::{self, Comparison};
use super::outcome::{finding, unknown};
use super::{Check, Context, ISO_8_24, NIST_SC_28_1, SOC2_CC6_1};
use crate::boot;
use crate::boot::source::Source;
use crate::crypttab::{self, OddLine};
use crate::fstab;
use crate::path::HostPath;
use crate::snapshot::{Mount, Namespace, Observed, Snapshot};

pub(super) const CHECK: Check = Check {
    id: "boot_intent",
    title: "What is set up for the next boot is what runs now",
    why: "A volume that crypttab names and that is not open, or a mount from another device than fstab says, is often \
          the first sign that data goes to a plain disk. A volume that was opened by hand is gone after a reboot, and \
          the node then writes into the empty directory below its mount point.",
    decides: "Compares /etc/crypttab, the kernel command line, and those lines of /etc/fstab that mount from /dev/mapper \
              with the kernel's live tables and mounts. Other lines of fstab are not compared. \
              No verdict on a path depends on it: those files are intent, never proof. A volume that was opened by hand \
              counts as encrypted all the same.",
    severity: Severity::Medium,
    remedy: "make the file and the running system agree, the one that is wrong following the other",
    controls: &[NIST_SC_28_1, ISO_8_24, SOC2_CC6_1],
    evaluate,
};

const MAPPER: &str = "/dev/mapper/";

fn evaluate(context: &Context<'_>) -> Vec<Finding> {
    let snapshot = context.snapshot;
    let seen = &snapshot.boot;
    let mut findings = Vec::new();
    if let Some(table) = seen.crypttab.known() {
        findings.extend(table.entries.iter().map(|entry| volume(snapshot, entry)));
        findings.extend(odd("crypttab", &table.odd));
    }
    if let Some(table) = seen.fstab.known() {
        findings.extend(table.entries.iter().filter_map(|entry| mount(snapshot, entry)));
        findings.extend(odd("fstab", &table.odd));
    }
    let hidden = [seen.crypttab.trouble(), seen.cmdline.trouble(), seen.fstab.trouble()];
    match hidden.into_iter().flatten().next() {
        Some(trouble) if boot::may_encrypt(&snapshot.devices) => {
            findings.push(unknown(&CHECK, "boot:", "what is set up for the next boot", trouble));
        }
        Some(_) => {}
        None => findings.extend(by_hand(context)),
    }
    if findings.is_empty() {
        let summary = "nothing is set up that could differ: no crypttab, no mount from /dev/mapper, no encrypted \
                       volume in use by a path that is watched";
        findings.push(finding(&CHECK, "boot:", Outcome::NotApplicable, summary.to_owned()));
    }
    // Two lines for one name are one asset: the worse of what is said of them.
    findings.sort_by(|a, b| (&a.asset, a.outcome).cmp(&(&b.asset, b.outcome)));
    findings.dedup_by(|a, b| a.asset == b.asset);
    findings
}

fn odd(file: &'static str, lines: &[OddLine]) -> impl Iterator<Item = Finding> {
    lines.iter().map(move |OddLine { line, why }| Finding {
        severity: Severity::Low,
        remedy: format!("correct line {line} of /etc/{file}"),
        ..finding(
            &CHECK,
            &format!("{file}:line {line}"),
            Outcome::Unknown,
            format!("/etc/{file}, line {line}: {why}"),
        )
    })
}

/// A line of crypttab against the live tables.
fn volume(snapshot: &Snapshot, entry: &crypttab::Entry) -> Finding {
    let crypttab::Entry { line, name, .. } = entry;
    let asset = format!("crypttab:{name}");
    let at = format!("{name} (/etc/crypttab, line {line})");
    let say = |outcome, summary| finding(&CHECK, &asset, outcome, summary);
    let Some(dm) = boot_devices::named(snapshot, name).and_then(|device| device.dm.as_ref()) else {
        if entry.options.has("noauto") {
            let summary = format!("{at} is not opened at boot, and is not open");
            return say(Outcome::NotApplicable, summary);
        }
        if !boot_devices::all_seen(snapshot) {
            let summary =
                format!("{at}: whether it is open is not known: devices could not be read");
            return say(Outcome::Unknown, summary);
        }
        let severity = if entry.options.has("nofail") { Severity::Low } else { CHECK.severity };
        return Finding {
            severity,
            remedy: format!(
                "open it (`systemctl start 'systemd-cryptsetup@{name}.service'`, or `cryptdisks_start {name}`), or \
                 remove line {line} of /etc/crypttab"
            ),
            ..say(Outcome::Fail, format!("{at} should be open and is not"))
        };
    };
    let table = match &dm.table {
        Observed::Known(table) => table,
        Observed::Unreadable(trouble) => {
            return unknown(&CHECK, &asset, &format!("the live table of {at}"), trouble);
        }
        Observed::Absent => {
            return say(Outcome::Unknown, format!("{at} has no live table"));
        }
    };
    let Some(crypt) = table.iter().find(|target| target.kind == "crypt") else {
        let kinds: BTreeSet<&str> = table.iter().map(|target| target.kind.as_str()).collect();
        let kinds: Vec<&str> = kinds.into_iter().collect();
        let kinds = if kinds.is_empty() { "an empty table".to_owned() } else { kinds.join(", ") };
        return Finding {
            severity: Severity::High,
            remedy: format!(
                "find out who made it (`dmsetup table {name}`), move what was written to it, `dmsetup remove {name}` and \
                 open the volume from crypttab"
            ),
            ..say(Outcome::Fail, format!("{at} should be dm-crypt, and is {kinds}"))
        };
    };
    let below = crypt.args.get(3).and_then(|number| number.parse().ok());
    let (device, live) = (&entry.device, below.map(|below| boot_devices::node(snapshot, below)));
    let live = live.unwrap_or_default();
    let compared =
        below.map_or(Comparison::Unknown, |below| boot_devices::compare(snapshot, entry, below));
    let mut judged = match compared {
        Comparison::Same => {
            say(Outcome::Pass, format!("{at} is open from {live}, as crypttab says"))
        }
        Comparison::Unknown => {
            let summary = format!(
                "{at} is open as dm-crypt; whether {live} is {device} could not be compared"
            );
            say(Outcome::Pass, summary)
        }
        Comparison::Other(expected) => Finding {
            remedy: format!(
                "see which is right (`cryptsetup status {name}`, `blkid {live}`), then correct line {line} of \
                 /etc/crypttab"
            ),
            ..say(
                Outcome::Fail,
                if expected == device.to_string() {
                    format!("{at} is open from {live}, and crypttab says {device}")
                } else {
                    format!("{at} is open from {live}, and crypttab says {device} ({expected})")
                },
            )
        },
    };
    judged.evidence = BTreeMap::from([
        ("crypttab_device".to_owned(), device.to_string()),
        ("live_device".to_owned(), live),
    ]);
    judged
}

/// A line of fstab that mounts from `/dev/mapper` against what is mounted.
fn mount(snapshot: &Snapshot, entry: &fstab::Entry) -> Option<Finding> {
    let Source::Path(source) = &entry.source else { return None };
    let name = source.as_bytes().strip_prefix(MAPPER.as_bytes())?;
    let point = entry.mount_point.normalised();
    if !point.is_absolute() || entry.fstype == "swap" || entry.has("bind") || entry.has("rbind") {
        return None;
    }
    let table = snapshot.mounts_of(&Namespace::Host)?.known()?;
    // The last mounted is the visible one.
    let mounted = table.iter().rev().find(|mount| mount.mount_point == point);
    let (asset, line) = (format!("fstab:{point}"), entry.line);
    let Some(mounted) = mounted else {
        if entry.has("noauto") {
            return None;
        }
        let missing = finding(
            &CHECK,
            &asset,
            Outcome::Fail,
            format!(
                "{point} is not mounted, and fstab (line {line}) says {source}: what is written there lies elsewhere"
            ),
        );
        let remedy = format!(
            "see what lies below {point} (`findmnt -T {point}`), then `mount {point}`, or give line {line} of /etc/fstab \
             the option noauto"
        );
        return Some(Finding { remedy, ..missing });
    };
    if mounted.fstype == "autofs" {
        return None;
    }
    let name = String::from_utf8_lossy(name);
    let from = &mounted.source;
    let judged = match mounted_from(snapshot, mounted, source, &name) {
        Some(true) => finding(
            &CHECK,
            &asset,
            Outcome::Pass,
            format!("{point} is mounted from {source}, as fstab says"),
        ),
        Some(false) => Finding {
            remedy: format!(
                "see what was written where (`findmnt {point}`), `umount {point}` and `mount {point}`, or correct line \
                 {line} of /etc/fstab"
            ),
            ..finding(
                &CHECK,
                &asset,
                Outcome::Fail,
                format!("{point} is mounted from {from}, and fstab (line {line}) says {source}"),
            )
        },
        None => finding(
            &CHECK,
            &asset,
            Outcome::Unknown,
            format!("{point}: whether {from} is {source} could not be compared"),
        ),
    };
    Some(judged)
}

/// Whether `mounted` is of the device-mapper device `name`.
fn mounted_from(
    snapshot: &Snapshot,
    mounted: &Mount,
    source: &HostPath,
    name: &str,
) -> Option<bool> {
    let wanted = boot_devices::named(snapshot, name).map(|device| device.number);
    if wanted == Some(mounted.device) {
        return Some(true);
    }
    if !mounted.device.is_anonymous() {
        // The number is the kernel's own; a source is only what was typed.
        return boot_devices::all_seen(snapshot).then_some(false);
    }
    // btrfs has a number of its own for each subvolume, and shows one of its devices.
    let shown = boot_devices::at(snapshot, &mounted.source);
    let members = shown.and_then(|shown| snapshot.filesystems.btrfs.get(&shown));
    match (wanted, shown) {
        (Some(wanted), Some(shown)) => {
            Some(wanted == shown || members.is_some_and(|members| members.contains(&wanted)))
        }
        (_, None) if mounted.source == *source => Some(true),
        (None, Some(_)) => boot_devices::all_seen(snapshot).then_some(false),
        (_, None) => None,
    }
}

/// Encrypted volumes below watched paths that nothing opens at the next boot.
fn by_hand(context: &Context<'_>) -> Vec<Finding> {
    let snapshot = context.snapshot;
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for path in context.paths {
        let by = path.encrypted_by.iter().filter(|by| by.technology == "dm-crypt");
        for name in by.filter_map(|by| by.device.strip_prefix(MAPPER)) {
            used.entry(name).or_default().insert(&path.asset);
        }
    }
    let unnamed = used.into_iter().filter(|(name, _)| !is_opened_at_boot(snapshot, name));
    unnamed
        .map(|(name, paths)| {
            let device = boot_devices::named(snapshot, name)
                .and_then(|device| boot_devices::below(snapshot, device.number))
                .map_or_else(|| "DEVICE".to_owned(), |below| boot_devices::node(snapshot, below));
            Finding {
                severity: Severity::Low,
                remedy: format!(
                    "where it should come back by itself: `echo '{name} UUID='$(cryptsetup luksUUID {device})' none luks' \
                     >> /etc/crypttab`; else see that the node does not start without it"
                ),
                affects: paths.into_iter().map(str::to_owned).collect(),
                ..finding(
                    &CHECK,
                    &format!("volume:{MAPPER}{name}"),
                    Outcome::Fail,
                    format!(
                        "{MAPPER}{name} is in use, and neither crypttab nor the kernel command line opens it at the next \
                         boot"
                    ),
                )
            }
        })
        .collect()
}

fn is_opened_at_boot(snapshot: &Snapshot, name: &str) -> bool {
    let boot = &snapshot.boot;
    let is_its = |source: &Source| match source {
        Source::Path(path) => path
            .as_bytes()
            .strip_prefix(MAPPER.as_bytes())
            .is_some_and(|other| boot_devices::same_name(&String::from_utf8_lossy(other), name)),
        Source::Tag { .. } | Source::Other => false,
    };
    let is_mounted = || {
        let entries = boot.fstab.known().into_iter().flat_map(|table| &table.entries);
        let mut wanted = entries.filter(|entry| !entry.has("noauto"));
        wanted.any(|entry| is_its(&entry.source))
    };
    // systemd opens a `noauto` volume all the same when a mount wants its device.
    let in_crypttab = boot.crypttab.known().is_some_and(|table| {
        let mut named =
            table.entries.iter().filter(|entry| boot_devices::same_name(&entry.name, name));
        named.any(|entry| !entry.options.has("noauto") || is_mounted())
    });
    let uuid = boot_devices::named(snapshot, name)
        .and_then(|device| boot_devices::header_uuid(snapshot, device.number));
    let volumes = boot.cmdline.known().map(|facts| facts.volumes.as_slice()).unwrap_or_default();
    in_crypttab
        || volumes.iter().any(|volume| match (&volume.name, volume.device.uuid()) {
            (Some(given), _) => boot_devices::same_name(given, name),
            // dracut takes the start of a UUID too.
            (None, Some(given)) => {
                uuid.is_some_and(|uuid| uuid.starts_with(given)) || *name == format!("luks-{given}")
            }
            (None, None) => false,
        })
}

#[cfg(test)]
mod tests {
    use atrest_proto::model::Reason;

    use super::super::boot_fixture::{self, host};
    use super::super::luks_fixture::UUID;
    use super::*;
    use crate::snapshot::{BlockDevice, DeviceNumber, Trouble};

    fn found(snapshot: &Snapshot, asset: &str) -> Option<Finding> {
        let findings = boot_fixture::evaluate(&CHECK, snapshot);
        findings.into_iter().find(|finding| finding.asset == asset)
    }

    fn outcome(snapshot: &Snapshot, asset: &str) -> (Outcome, Severity) {
        let finding = found(snapshot, asset).expect(asset);
        (finding.outcome, finding.severity)
    }

    /// Gives the volume's device-mapper device another table.
    fn with_table(snapshot: &mut Snapshot, change: impl Fn(&mut crate::snapshot::DmFacts)) {
        let device = snapshot.devices.get_mut(&DeviceNumber::new(254, 0)).unwrap();
        change(device.dm.as_mut().unwrap());
    }

    #[test]
    fn a_volume_that_is_open_from_its_device_passes() {
        for device in [format!("UUID={UUID}"), "/dev/sdb1".to_owned()] {
            let mut snapshot = host(&format!("es {device} none luks"), "", "");
            let devices = &mut snapshot.boot.surroundings.devices;
            devices.insert("/dev/sdb1".to_owned(), DeviceNumber::new(8, 17));
            let finding = found(&snapshot, "crypttab:es").unwrap();
            assert_eq!(finding.outcome, Outcome::Pass, "{finding:?}");
            assert!(finding.summary.contains("from /dev/sdb1, as crypttab says"));
            assert_eq!(found(&snapshot, "volume:/dev/mapper/es"), None);
        }
    }

    #[test]
    fn a_volume_that_is_not_open_fails_unless_noauto() {
        let not_open = |options: &str| {
            outcome(&host(&format!("gone /dev/sdc none {options}"), "", ""), "crypttab:gone")
        };
        assert_eq!(not_open("luks"), (Outcome::Fail, Severity::Medium));
        assert_eq!(not_open("luks,nofail"), (Outcome::Fail, Severity::Low));
        assert_eq!(not_open("luks,noauto").0, Outcome::NotApplicable);
        let mut blind = host("gone /dev/sdc", "", "");
        blind.devices.clear();
        assert_eq!(outcome(&blind, "crypttab:gone").0, Outcome::Unknown);
    }

    #[test]
    fn a_volume_that_is_not_dm_crypt_fails() {
        let mut linear = host("es /dev/sdb1", "", "");
        with_table(&mut linear, |dm| {
            let Observed::Known(table) = &mut dm.table else { panic!() };
            table[0].kind = "linear".to_owned();
        });
        assert_eq!(outcome(&linear, "crypttab:es"), (Outcome::Fail, Severity::High));
        let mut hidden = host("es /dev/sdb1", "", "");
        with_table(&mut hidden, |dm| {
            dm.table = Observed::Unreadable(Trouble::new(Reason::NoPermission, "denied"));
        });
        assert_eq!(outcome(&hidden, "crypttab:es").0, Outcome::Unknown);
    }

    #[test]
    fn a_volume_from_another_device_fails_when_that_can_be_told() {
        let mut snapshot = host("es /dev/disk/by-id/x none luks", "", "");
        let finding = found(&snapshot, "crypttab:es").unwrap();
        assert_eq!(finding.outcome, Outcome::Pass);
        assert!(finding.summary.contains("could not be compared"));
        let devices = &mut snapshot.boot.surroundings.devices;
        devices.insert("/dev/disk/by-id/x".to_owned(), DeviceNumber::new(8, 1));
        let finding = found(&snapshot, "crypttab:es").unwrap();
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Medium));
        assert!(
            finding
                .summary
                .contains("from /dev/sdb1, and crypttab says /dev/disk/by-id/x (/dev/sda1)")
        );
        let other = host("es UUID=00000000-0000 none luks", "", "");
        assert_eq!(outcome(&other, "crypttab:es").0, Outcome::Fail);
        let detached = host("es UUID=00000000-0000 none luks,header=/h", "", "");
        assert_eq!(outcome(&detached, "crypttab:es").0, Outcome::Pass);
    }

    #[test]
    fn a_mount_is_compared_with_fstab_by_device() {
        let line = "/dev/mapper/es /srv/es xfs defaults 0 0\n";
        assert_eq!(outcome(&host("", line, ""), "fstab:/srv/es").0, Outcome::Pass);
        let mut snapshot = host("", line, "");
        let Observed::Known(table) = &mut snapshot.mounts[0].1 else { panic!() };
        // What was typed says one thing, and the kernel's number another.
        table[1].device = DeviceNumber::new(8, 1);
        let finding = found(&snapshot, "fstab:/srv/es").unwrap();
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Medium));
        assert!(finding.remedy.contains("umount /srv/es"));
        let others =
            "/dev/mapper/es none swap sw\n/dev/mapper/es /not/mounted xfs noauto\nUUID=1 / ext4\n";
        let snapshot = host("", others, "");
        assert!(
            !boot_fixture::evaluate(&CHECK, &snapshot).iter().any(|f| f.asset.starts_with("fstab"))
        );
    }

    #[test]
    fn a_mount_that_is_missing_is_told() {
        let finding =
            found(&host("", "/dev/mapper/es /not/mounted xfs\n", ""), "fstab:/not/mounted");
        let finding = finding.unwrap();
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.remedy.contains("findmnt -T /not/mounted"), "{}", finding.remedy);
    }

    #[test]
    fn a_btrfs_mount_is_compared_by_its_members() {
        let mut snapshot = host("", "/dev/mapper/es /srv/es btrfs\n", "");
        let (es, other) = (DeviceNumber::new(254, 0), DeviceNumber::new(8, 1));
        let Observed::Known(table) = &mut snapshot.mounts[0].1 else { panic!() };
        (table[1].device, table[1].source) = (DeviceNumber::new(0, 40), "/dev/sda1".into());
        assert_eq!(outcome(&snapshot, "fstab:/srv/es").0, Outcome::Fail);
        snapshot.filesystems.btrfs.insert(other, vec![other, es]);
        assert_eq!(outcome(&snapshot, "fstab:/srv/es").0, Outcome::Pass);
    }

    #[test]
    fn a_volume_opened_by_hand_is_told_with_low_severity_and_whom_it_affects() {
        let finding = found(&host("", "", ""), "volume:/dev/mapper/es").unwrap();
        assert_eq!((finding.outcome, finding.severity), (Outcome::Fail, Severity::Low));
        assert_eq!(finding.affects, ["data:/srv/es"]);
        assert!(finding.remedy.contains("cryptsetup luksUUID /dev/sdb1"));
    }

    #[test]
    fn what_opens_a_volume_at_boot_is_found() {
        let opened = |crypttab: &str, fstab: &str, cmdline: &str| {
            found(&host(crypttab, fstab, cmdline), "volume:/dev/mapper/es").is_none()
        };
        assert!(opened("es /dev/sdb1", "", ""));
        assert!(!opened("es /dev/sdb1 none noauto", "", ""));
        assert!(opened("es /dev/sdb1 none noauto", "/dev/mapper/es /srv/es xfs", ""));
        assert!(!opened("es /dev/sdb1 none noauto", "/dev/mapper/es /srv/es xfs noauto", ""));
        assert!(opened("", "", &format!("rd.luks.uuid={UUID}")));
        assert!(opened("", "", &format!("rd.luks.name={UUID}=es")));
        assert!(opened("", "", "cryptdevice=/dev/sdb1:es"));
        assert!(!opened(
            "",
            "/dev/mapper/es /srv/es xfs",
            "rd.luks.uuid=ffff cryptdevice=/dev/a:b"
        ));
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_nothing_is_concluded_from_it() {
        let mut snapshot = host("", "", "");
        let trouble = Trouble::new(Reason::NoPermission, "denied");
        snapshot.boot.crypttab = Observed::Unreadable(trouble.clone());
        assert_eq!(outcome(&snapshot, "boot:").0, Outcome::Unknown);
        assert_eq!(found(&snapshot, "volume:/dev/mapper/es"), None);
        // Without an encrypted volume there is nothing that it could be about.
        snapshot.devices.clear();
        assert_eq!(outcome(&snapshot, "boot:").0, Outcome::NotApplicable);
    }

    #[test]
    fn odd_lines_are_told_and_two_lines_of_a_name_are_one_asset() {
        let snapshot = host("es\nes /dev/sdb1\ngone /dev/a x noauto\ngone /dev/a\n", "/x\n", "");
        assert_eq!(outcome(&snapshot, "crypttab:line 1"), (Outcome::Unknown, Severity::Low));
        assert_eq!(outcome(&snapshot, "fstab:line 1").0, Outcome::Unknown);
        assert_eq!(outcome(&snapshot, "crypttab:gone").0, Outcome::Fail);
    }

    #[test]
    fn a_host_without_any_of_it_has_nothing_to_compare() {
        let mut snapshot = host("", "", "");
        snapshot.devices = [(DeviceNumber::new(8, 1), BlockDevice::default())].into();
        snapshot.boot = boot::Boot::default();
        assert_eq!(outcome(&snapshot, "boot:").0, Outcome::NotApplicable);
    }
}
