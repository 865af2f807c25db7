//! `raid` (`TYPE #PARAMETERS PARAMETERS… #DEVICES (METADATA DATA)…`), `mirror` (`LOG #ARGUMENTS ARGUMENTS… #MIRRORS
//! (DEVICE OFFSET)…`) and `multipath`.
//!
//! Metadata and log devices hold superblocks and bitmaps; the journal of RAID 4, 5 and 6 holds contents. See the
//! kernel's `dm-raid.rst` and `Documentation/admin-guide/device-mapper/`.

use super::{Dissected, device_argument};
use crate::layer::{Leg, Role};
use crate::snapshot::{BlockDevice, DeviceNumber, DmTarget};

/// A failed or missing device.
const MISSING: &str = "-";

fn count(target: &DmTarget, at: usize) -> Option<usize> {
    // A count that the line cannot hold is refused before anything is built.
    target.args.get(at)?.parse().ok().filter(|count| *count <= target.args.len())
}

pub(super) fn raid(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let mut found = Dissected::default();
    let parameters = count(target, 1)?;
    let given = target.args.get(2..2_usize.checked_add(parameters)?)?;
    let journal = given.iter().position(|name| name == "journal_dev");
    if let Some(at) = journal {
        let device = given.get(at + 1)?.parse().ok()?;
        found.legs.push(Leg::Device { device, role: Role::Journal });
    }
    let devices = count(target, 2 + parameters)?;
    for device in 0..devices {
        let at = 3 + parameters + 2 * device;
        if target.args.get(at)? != MISSING {
            found.shown.push(device_argument(target, at)?);
        }
        if target.args.get(at + 1)? != MISSING {
            found.legs.push(Leg::contents(device_argument(target, at + 1)?));
        }
    }
    (!found.legs.is_empty()).then_some(found)
}

pub(super) fn mirror(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let mut found = Dissected::default();
    let arguments = count(target, 1)?;
    let log = target.args.get(2..2_usize.checked_add(arguments)?)?;
    // `disk` and `clustered-disk` name a device first; `core` keeps its log in memory.
    found.shown.extend(log.iter().filter_map(|argument| argument.parse::<DeviceNumber>().ok()));
    let mirrors = count(target, 2 + arguments)?;
    for leg in 0..mirrors {
        found.legs.push(Leg::contents(device_argument(target, 3 + arguments + 2 * leg)?));
    }
    (!found.legs.is_empty()).then_some(found)
}

/// Every path device of the table: they lead to one disk, and each is followed.
pub(super) fn multipath(target: &DmTarget, _device: &BlockDevice) -> Option<Dissected> {
    let paths = target.args.iter().filter_map(|argument| argument.parse::<DeviceNumber>().ok());
    let legs: Vec<Leg> = paths.map(Leg::contents).collect();
    (!legs.is_empty()).then_some(Dissected { legs, ..Dissected::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm_table::parse_target;

    fn read(
        dissect: fn(&DmTarget, &BlockDevice) -> Option<Dissected>,
        line: &str,
    ) -> Option<Dissected> {
        dissect(&parse_target(line.as_bytes()).unwrap(), &BlockDevice::default())
    }

    fn contents(minors: &[u32]) -> Vec<Leg> {
        minors.iter().map(|minor| Leg::contents(DeviceNumber::new(8, *minor))).collect()
    }

    #[test]
    fn raid_counts_its_data_devices_and_shows_its_metadata() {
        let found = read(raid, "0 8 raid raid1 3 0 region_size 4096 2 8:1 8:2 8:3 8:4").unwrap();
        assert_eq!(found.legs, contents(&[2, 4]));
        assert_eq!(found.shown, [DeviceNumber::new(8, 1), DeviceNumber::new(8, 3)]);
        let found = read(raid, "0 8 raid raid1 1 0 2 - 8:2 - -").unwrap();
        assert_eq!(found.legs, contents(&[2]));
    }

    #[test]
    fn the_journal_of_raid_holds_contents() {
        let found = read(raid, "0 8 raid raid5_ls 3 128 journal_dev 8:9 1 - 8:2").unwrap();
        let journal = Leg::Device { device: DeviceNumber::new(8, 9), role: Role::Journal };
        assert!(found.legs.contains(&journal));
    }

    #[test]
    fn mirror_counts_every_leg_and_shows_its_log() {
        let found =
            read(mirror, "0 8 mirror disk 2 8:9 1024 2 8:1 0 8:2 0 1 handle_errors").unwrap();
        assert_eq!(found.legs, contents(&[1, 2]));
        assert_eq!(found.shown, [DeviceNumber::new(8, 9)]);
    }

    #[test]
    fn multipath_follows_every_path() {
        let line = "0 8 multipath 0 0 2 1 service-time 0 1 2 8:1 1 1 service-time 0 1 2 8:2 1 1";
        assert_eq!(read(multipath, line).unwrap().legs, contents(&[1, 2]));
    }

    #[test]
    fn counts_that_lie_are_refused() {
        assert_eq!(read(raid, "0 8 raid raid1 99 0 2 8:1 8:2"), None);
        assert_eq!(read(raid, "0 8 raid raid1 1 0 9 8:1 8:2"), None);
        assert_eq!(read(mirror, "0 8 mirror core 1 1024 3 8:1 0"), None);
        assert_eq!(read(multipath, "0 8 multipath 0 0 0 0"), None);
    }
}
