//! Device-mapper: a table of targets, each with its own legs. The table decides, never a name or UUID.
//!
//! Each target is one file; [`TARGETS`] names them all. See the kernel's
//! `Documentation/admin-guide/device-mapper/`.

mod cache;
pub mod cipher;
mod cipher_name;
pub mod crypt;
mod linear;
mod none;
pub mod opal;
mod pass_through;
mod raid;
pub mod snapshot;
mod thin;

use std::collections::BTreeMap;

use atrest_proto::model::Reason;

use super::{Anatomy, Leg, Role};
use crate::snapshot::{BlockDevice, DeviceNumber, DmTarget, Observed};

/// What one target does with what is written to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dissected {
    pub legs: Vec<Leg>,
    /// Devices that hold no contents, or only ciphertext.
    pub shown: Vec<DeviceNumber>,
    pub detail: BTreeMap<String, String>,
}

/// A kind of target.
pub struct Target {
    /// As the kernel names it.
    pub kind: &'static str,
    /// `None` when the arguments are not of this target's form.
    pub dissect: fn(&DmTarget, &BlockDevice) -> Option<Dissected>,
}

/// Every target that is known.
pub static TARGETS: &[Target] = &[
    Target { kind: "crypt", dissect: crypt::dissect },
    Target { kind: "linear", dissect: linear::linear },
    Target { kind: "striped", dissect: linear::striped },
    Target { kind: "delay", dissect: pass_through::delay },
    Target { kind: "flakey", dissect: pass_through::first_device },
    Target { kind: "integrity", dissect: pass_through::integrity },
    Target { kind: "verity", dissect: pass_through::verity },
    Target { kind: "dust", dissect: pass_through::first_device },
    Target { kind: "ebs", dissect: pass_through::first_device },
    Target { kind: "thin", dissect: thin::thin },
    Target { kind: "thin-pool", dissect: thin::pool },
    Target { kind: "cache", dissect: cache::cache },
    Target { kind: "writecache", dissect: cache::writecache },
    Target { kind: "era", dissect: cache::era },
    Target { kind: "clone", dissect: cache::clone },
    Target { kind: "snapshot", dissect: snapshot::snapshot },
    Target { kind: "snapshot-merge", dissect: snapshot::snapshot },
    Target { kind: "snapshot-origin", dissect: snapshot::origin },
    Target { kind: "raid", dissect: raid::raid },
    Target { kind: "mirror", dissect: raid::mirror },
    Target { kind: "multipath", dissect: raid::multipath },
    Target { kind: "unstriped", dissect: linear::unstriped },
    Target { kind: "switch", dissect: linear::switch },
    Target { kind: "zoned", dissect: linear::zoned },
    Target { kind: "log-writes", dissect: pass_through::log_writes },
    Target { kind: "vdo", dissect: pass_through::vdo },
    Target { kind: "error", dissect: none::dissect },
    Target { kind: "zero", dissect: none::dissect },
];

pub(super) fn dissect(device: &BlockDevice) -> Option<Anatomy> {
    let dm = device.dm.as_ref()?;
    let unknown = |reason, detail: String| Anatomy {
        shown: device.slaves.clone(),
        ..Anatomy::new("dm", vec![Leg::Unknown { reason, detail }])
    };
    let mut anatomy = match &dm.table {
        Observed::Known(table) if !table.is_empty() => whole_table(device, table),
        Observed::Known(_) | Observed::Absent => {
            unknown(Reason::Unreadable, format!("{}: an empty table", device.node()))
        }
        Observed::Unreadable(trouble) => unknown(trouble.reason, trouble.detail.clone()),
    };
    if dm.suspended {
        anatomy.detail.insert("suspended".to_owned(), "yes".to_owned());
    }
    Some(anatomy)
}

fn whole_table(device: &BlockDevice, table: &[DmTarget]) -> Anatomy {
    let encrypts = table.iter().any(|target| target.kind == "crypt");
    let mut legs = Vec::new();
    let mut shown = Vec::new();
    let mut detail = BTreeMap::new();
    for target in table {
        let mut part = one_target(target, device);
        if encrypts && target.kind != "crypt" {
            // As during re-encryption: some segments are mapped through crypt and this one is not.
            part.legs.iter_mut().for_each(as_segment);
        }
        for leg in part.legs {
            if !legs.contains(&leg) {
                legs.push(leg);
            }
        }
        shown.extend(part.shown);
        detail.extend(part.detail);
    }
    // A device below that the table does not speak of may hold contents in a way that is not known: it counts.
    let live = device.dm.as_ref().and_then(|dm| dm.dependencies.as_ref());
    for slave in live.unwrap_or(&device.slaves) {
        let spoken_of = shown.contains(slave)
            || legs.iter().any(|leg| matches!(leg, Leg::Device { device, .. } if device == slave));
        if !spoken_of {
            legs.push(Leg::contents(*slave));
        }
    }
    if let Some(why) = uncovered(device, table) {
        let detail = format!("{}: {why}", device.node());
        legs.push(Leg::Unknown { reason: Reason::Unreadable, detail });
    }
    if table.len() > 1 {
        detail.insert("segments".to_owned(), table.len().to_string());
    }
    shown.sort_unstable();
    shown.dedup();
    Anatomy { kind: kind(table), detail, legs, shown }
}

/// What is wrong with a table that does not map the device from its first to its last sector: part of it was not read.
fn uncovered(device: &BlockDevice, table: &[DmTarget]) -> Option<&'static str> {
    let mut end = 0_u64;
    for target in table {
        if target.start != end {
            return Some("its table has a gap or an overlap");
        }
        end = target.start.saturating_add(target.length);
    }
    let is_whole = device.sectors.is_none_or(|sectors| sectors <= end);
    (!is_whole).then_some("its table does not reach the end of the device")
}

/// `dm-linear`, or `dm-crypt+linear` for a table of several kinds.
fn kind(table: &[DmTarget]) -> String {
    let mut kinds: Vec<&str> = table.iter().map(|target| target.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    format!("dm-{}", kinds.join("+"))
}

fn as_segment(leg: &mut Leg) {
    if let Leg::Device { role, .. } = leg
        && *role == Role::Contents
    {
        *role = Role::Segment;
    }
}

fn one_target(target: &DmTarget, device: &BlockDevice) -> Dissected {
    let unknown = |reason, detail| Dissected {
        legs: vec![Leg::Unknown { reason, detail }],
        shown: device.slaves.clone(),
        ..Dissected::default()
    };
    let Some(known) = TARGETS.iter().find(|known| known.kind == target.kind) else {
        let detail = format!("{}: device-mapper target `{}`", device.node(), target.kind);
        return unknown(Reason::UnknownTarget, detail);
    };
    (known.dissect)(target, device).unwrap_or_else(|| {
        let detail = format!("{}: a {} line that makes no sense", device.node(), target.kind);
        unknown(Reason::Unreadable, detail)
    })
}

/// The device number in an argument; the kernel prints devices as `MAJOR:MINOR`.
fn device_argument(target: &DmTarget, at: usize) -> Option<DeviceNumber> {
    target.args.get(at)?.parse().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::dm_table::parse_target;
    use crate::snapshot::{DmFacts, Trouble};

    /// A device with this table and these slaves on major 8.
    pub(in super::super) fn mapped(lines: &[&str], slaves: &[u32]) -> BlockDevice {
        let table = lines.iter().map(|line| parse_target(line.as_bytes()).unwrap()).collect();
        BlockDevice {
            name: "dm-0".to_owned(),
            slaves: slaves.iter().map(|minor| DeviceNumber::new(8, *minor)).collect(),
            dm: Some(DmFacts {
                name: "x".to_owned(),
                uuid: "CRYPT-LUKS2-0".to_owned(),
                suspended: false,
                dependencies: None,
                table: Observed::Known(table),
            }),
            ..BlockDevice::default()
        }
    }

    #[test]
    fn a_uuid_that_lies_changes_nothing() {
        let anatomy = dissect(&mapped(&["0 8 linear 8:1 0"], &[1])).unwrap();
        assert_eq!(anatomy.kind, "dm-linear");
        assert_eq!(anatomy.legs, [Leg::contents(DeviceNumber::new(8, 1))]);
    }

    #[test]
    fn a_segment_beside_an_encrypted_one_is_told_apart() {
        let key = "0".repeat(128);
        let crypt = format!("0 8 crypt aes-xts-plain64 {key} 0 8:1 0");
        let anatomy = dissect(&mapped(&[&crypt, "8 8 linear 8:1 8"], &[1])).unwrap();
        assert_eq!(anatomy.kind, "dm-crypt+linear");
        assert!(
            anatomy
                .legs
                .contains(&Leg::Device { device: DeviceNumber::new(8, 1), role: Role::Segment })
        );
    }

    #[test]
    fn a_table_that_leaves_a_part_out_is_no_proof() {
        let crypt = |start| format!("{start} 8 crypt aes-xts-plain64 {} 0 8:1 0", "0".repeat(128));
        let undecided = |lines: &[&str], sectors| {
            let device = BlockDevice { sectors, ..mapped(lines, &[1]) };
            let legs = dissect(&device).unwrap().legs;
            legs.iter().any(|leg| matches!(leg, Leg::Unknown { reason: Reason::Unreadable, .. }))
        };
        assert!(!undecided(&[&crypt(0)], Some(8)));
        assert!(!undecided(&[&crypt(0), &crypt(8)], Some(16)));
        assert!(undecided(&[&crypt(0)], Some(16)));
        assert!(undecided(&[&crypt(8)], None));
        assert!(undecided(&[&crypt(0), &crypt(9)], None));
    }

    #[test]
    fn an_unknown_target_is_unknown_and_shows_what_is_below() {
        let anatomy = dissect(&mapped(&["0 8 frobnicate 8:1 0"], &[1])).unwrap();
        assert!(matches!(anatomy.legs[..], [Leg::Unknown { reason: Reason::UnknownTarget, .. }]));
        assert_eq!(anatomy.shown, [DeviceNumber::new(8, 1)]);
    }

    #[test]
    fn a_slave_that_the_table_does_not_name_counts() {
        let anatomy = dissect(&mapped(&["0 8 linear 8:1 0"], &[1, 2])).unwrap();
        assert!(anatomy.legs.contains(&Leg::contents(DeviceNumber::new(8, 2))));
    }

    #[test]
    fn a_slave_of_a_table_that_is_not_live_does_not_count() {
        let mut device = mapped(&["0 8 linear 8:1 0"], &[1, 2]);
        if let Some(dm) = &mut device.dm {
            dm.dependencies = Some(vec![DeviceNumber::new(8, 1)]);
        }
        assert_eq!(dissect(&device).unwrap().legs, [Leg::contents(DeviceNumber::new(8, 1))]);
    }

    #[test]
    fn a_table_that_may_not_be_read_is_unknown() {
        let mut device = mapped(&["0 8 linear 8:1 0"], &[1]);
        if let Some(dm) = &mut device.dm {
            dm.table = Observed::Unreadable(Trouble::new(Reason::NoPermission, "denied"));
        }
        assert!(matches!(
            dissect(&device).unwrap().legs[..],
            [Leg::Unknown { reason: Reason::NoPermission, .. }]
        ));
    }

    #[test]
    fn every_target_is_named_once() {
        let mut seen = std::collections::BTreeSet::new();
        assert!(TARGETS.iter().all(|target| seen.insert(target.kind)));
    }
}
