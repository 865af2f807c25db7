//! LUKS2 with OPAL: the drive encrypts, the table is linear, and only the header says so.
//!
//! `cryptsetup luksFormat --hw-opal-only` (2.7) writes data segments of type `hw-opal`; with `--hw-opal` dm-crypt encrypts
//! as well and the table shows it. See `docs/on-disk-format-luks2.pdf` of cryptsetup. The drive's word is a claim.

use std::collections::BTreeMap;

use super::device_argument;
use crate::luks::Header;
use crate::snapshot::{BlockDevice, DeviceNumber, Observed};

/// What libcryptsetup puts before the header's UUID, without its dashes.
const OPENED_FROM_LUKS2: &str = "CRYPT-LUKS2-";
const SEGMENT: &str = "hw-opal";

/// Whether everything below `device` is, by the header that it was opened from, encrypted by the drive.
pub fn is_claimed(
    device: &BlockDevice,
    headers: &BTreeMap<DeviceNumber, Observed<Header>>,
) -> bool {
    let Some(dm) = &device.dm else { return false };
    let Some(rest) = dm.uuid.strip_prefix(OPENED_FROM_LUKS2) else { return false };
    let uuid = rest.split('-').next().unwrap_or_default();
    let Some(table) = dm.table.known() else { return false };
    let says_so = |header: &Header| {
        header.version == 2
            && header.uuid.replace('-', "") == uuid
            && header.segments.iter().any(|segment| !segment.is_backup())
            && header.segments.iter().all(|segment| segment.is_backup() || segment.kind == SEGMENT)
    };
    !table.is_empty()
        && table.iter().all(|target| {
            let header = device_argument(target, 0).and_then(|below| headers.get(&below));
            target.kind == "linear" && header.and_then(Observed::known).is_some_and(says_so)
        })
}

#[cfg(test)]
mod tests {
    use super::super::tests::mapped;
    use super::*;
    use crate::luks::Segment;

    const UUID: &str = "28632274-8c8a-493f-835b-da802e1c576b";
    const BELOW: DeviceNumber = DeviceNumber::new(8, 1);

    fn opened(line: &str) -> BlockDevice {
        let mut device = mapped(&[line], &[1]);
        if let Some(dm) = &mut device.dm {
            dm.uuid = format!("CRYPT-LUKS2-{}-es", UUID.replace('-', ""));
        }
        device
    }

    fn headers(kinds: &[&str], uuid: &str) -> BTreeMap<DeviceNumber, Observed<Header>> {
        let segments = kinds
            .iter()
            .map(|kind| Segment {
                number: 0,
                kind: (*kind).to_owned(),
                cipher: String::new(),
                flags: Vec::new(),
            })
            .collect();
        let header = Header { version: 2, uuid: uuid.to_owned(), segments, ..Header::default() };
        [(BELOW, Observed::Known(header))].into()
    }

    #[test]
    fn the_header_it_was_opened_from_makes_it_a_claim() {
        let device = opened("0 8 linear 8:1 32768");
        assert!(is_claimed(&device, &headers(&["hw-opal"], UUID)));
    }

    #[test]
    fn nothing_else_does() {
        let device = opened("0 8 linear 8:1 32768");
        assert!(!is_claimed(&device, &headers(&["crypt"], UUID)));
        assert!(!is_claimed(&device, &headers(&["hw-opal", "linear"], UUID)));
        assert!(!is_claimed(&device, &headers(&[], UUID)));
        assert!(!is_claimed(&device, &headers(&["hw-opal"], "another")));
        assert!(!is_claimed(&device, &BTreeMap::new()));
        let other = opened("0 8 striped 1 128 8:1 0");
        assert!(!is_claimed(&other, &headers(&["hw-opal"], UUID)));
    }
}
