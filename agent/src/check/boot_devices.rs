//! What `boot_intent` asks of the live devices.

use std::collections::BTreeSet;

use crate::boot::source::Source;
use crate::crypttab::Entry;
use crate::layer::device_mapper::crypt;
use crate::path::HostPath;
use crate::snapshot::{BlockDevice, DeviceNumber, Observed, Snapshot};

/// Whether a volume stands on the device that crypttab names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Comparison {
    Same,
    /// Crypttab's is this one.
    Other(String),
    Unknown,
}

/// The device-mapper device of that name.
pub(super) fn named<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a BlockDevice> {
    let is_named =
        |device: &&BlockDevice| device.dm.as_ref().is_some_and(|dm| same_name(&dm.name, name));
    snapshot.devices.values().find(is_named)
}

/// Whether two names are of one device-mapper device: libdevmapper writes `\xNN` for what udev does not take into a name.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    one == other || unmangled(one) == unmangled(other)
}

fn unmangled(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = rest.strip_prefix(b"\\x").and_then(|digits| digits.get(..2));
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { rest.get(4..).unwrap_or_default() } else { after };
    }
    bytes
}

/// The device that an operator would call so.
pub(super) fn at(snapshot: &Snapshot, path: &HostPath) -> Option<DeviceNumber> {
    let is_it = |device: &&BlockDevice| {
        [device.node(), format!("/dev/{}", device.name)]
            .iter()
            .any(|node| node.as_bytes() == path.as_bytes())
    };
    snapshot.devices.values().find(is_it).map(|device| device.number)
}

/// Whether a device-mapper device that is not among the devices is not there.
pub(super) fn all_seen(snapshot: &Snapshot) -> bool {
    let hidden = |device: &BlockDevice| device.trouble.is_some() && device.name.starts_with("dm-");
    !snapshot.devices.is_empty() && !snapshot.devices.values().any(hidden)
}

/// The device node, as an operator would type it.
pub(super) fn node(snapshot: &Snapshot, number: DeviceNumber) -> String {
    snapshot.devices.get(&number).map_or_else(|| number.to_string(), BlockDevice::node)
}

/// What the crypt target of a device stands on.
pub(super) fn below(snapshot: &Snapshot, number: DeviceNumber) -> Option<DeviceNumber> {
    let table = snapshot.devices.get(&number)?.dm.as_ref()?.table.known()?;
    table.iter().find(|target| target.kind == "crypt")?.args.get(3)?.parse().ok()
}

/// The UUID in the LUKS header of the volume that is open as `number`.
pub(super) fn header_uuid(snapshot: &Snapshot, number: DeviceNumber) -> Option<&str> {
    header_uuid_on(snapshot, below(snapshot, number)?)
}

fn header_uuid_on(snapshot: &Snapshot, below: DeviceNumber) -> Option<&str> {
    let holder = crypt::header_holder(below, &snapshot.devices)?.number;
    match snapshot.luks.get(&holder)? {
        Observed::Known(header) => Some(&header.uuid),
        Observed::Absent | Observed::Unreadable(_) => None,
    }
}

/// Compares the device that a crypt target stands on with the one that crypttab names.
pub(super) fn compare(snapshot: &Snapshot, entry: &Entry, below: DeviceNumber) -> Comparison {
    let options = &entry.options;
    // With a detached header, or without any, what stands at the start of the device says nothing.
    let has_header =
        options.header.is_none() && !["plain", "swap", "tmp"].iter().any(|flag| options.has(flag));
    let found = header_uuid_on(snapshot, below).filter(|_| has_header);
    if let (Some(wanted), Some(found)) = (entry.device.uuid(), found) {
        return if wanted.eq_ignore_ascii_case(found) {
            Comparison::Same
        } else {
            Comparison::Other(format!("LUKS UUID {found} found"))
        };
    }
    if let Source::Path(file) = &entry.device
        && let Some(looped) = snapshot.devices.get(&below).and_then(|at| at.looped.as_ref())
        && looped.backing_file.normalised() == *file
    {
        return Comparison::Same;
    }
    let Some(wanted) = snapshot.boot.surroundings.devices.get(&entry.device.to_string()).copied()
    else {
        return Comparison::Unknown;
    };
    let holder = crypt::header_holder(below, &snapshot.devices).map(|device| device.number);
    if wanted == below || Some(wanted) == holder {
        return Comparison::Same;
    }
    // A path of a multipath device or a leg of a mirror carries the same names as the whole.
    if stands_on(snapshot, below, wanted) || stands_on(snapshot, wanted, below) {
        return Comparison::Unknown;
    }
    Comparison::Other(node(snapshot, wanted))
}

fn stands_on(snapshot: &Snapshot, upper: DeviceNumber, lower: DeviceNumber) -> bool {
    let mut seen = BTreeSet::new();
    let mut todo = vec![upper];
    while let Some(number) = todo.pop() {
        if number == lower {
            return true;
        }
        if seen.insert(number)
            && let Some(device) = snapshot.devices.get(&number)
        {
            todo.extend(&device.slaves);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::boot_fixture::host;
    use super::*;

    const DISK: DeviceNumber = DeviceNumber::new(8, 17);

    fn compared(line: &str, change: impl FnOnce(&mut Snapshot)) -> Comparison {
        let mut snapshot = host(line, "", "");
        snapshot.luks.clear();
        change(&mut snapshot);
        let table = snapshot.boot.crypttab.known().unwrap();
        compare(&snapshot, &table.entries[0], DISK)
    }

    #[test]
    fn a_leg_of_the_device_below_is_neither_the_same_nor_another() {
        let leg = DeviceNumber::new(8, 32);
        let compared = compared("es /dev/sdc", |snapshot| {
            snapshot.boot.surroundings.devices.insert("/dev/sdc".to_owned(), leg);
            snapshot.devices.get_mut(&DISK).unwrap().slaves = vec![leg];
        });
        assert_eq!(compared, Comparison::Unknown);
    }

    #[test]
    fn a_file_is_compared_with_what_the_loop_device_stands_on() {
        let looped = |file: &str| {
            compared("es /srv/es.img", |snapshot| {
                snapshot.devices.get_mut(&DISK).unwrap().looped =
                    Some(crate::snapshot::LoopFacts {
                        backing_file: file.into(),
                        deleted: false,
                        backing: None,
                    });
            })
        };
        assert_eq!(looped("/srv/es.img"), Comparison::Same);
        assert_eq!(looped("/srv/other.img"), Comparison::Unknown);
    }

    #[test]
    fn a_name_is_the_same_mangled_or_not() {
        assert!(same_name("cr\\x20#1", "cr #1") && same_name("es", "es"));
        assert!(!same_name("cr\\x2", "cr ") && !same_name("es", "log"));
        assert_eq!(unmangled("a\\x+1b\\xc3\\xa9"), "a\\x+1bé".as_bytes());
        let mut snapshot = host("", "", "");
        let device = snapshot.devices.get_mut(&DeviceNumber::new(254, 0)).unwrap();
        device.dm.as_mut().unwrap().name = "cr\\x20#1".to_owned();
        assert!(named(&snapshot, "cr #1").is_some() && named(&snapshot, "cr").is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_name_is_its_own(name in "[a-z\\\\x0-9+é ]{0,12}") {
            drop(unmangled(&name));
            proptest::prop_assert!(same_name(&name, &name));
        }
    }

    #[test]
    fn devices_are_found_by_either_of_their_names() {
        let snapshot = host("", "", "");
        let es = DeviceNumber::new(254, 0);
        assert_eq!(at(&snapshot, &"/dev/mapper/es".into()), Some(es));
        assert_eq!(at(&snapshot, &"/dev/dm-0".into()), Some(es));
        assert_eq!(at(&snapshot, &"/dev/nope".into()), None);
        assert_eq!(below(&snapshot, es), Some(DISK));
        assert!(header_uuid(&snapshot, es).is_some());
    }
}
