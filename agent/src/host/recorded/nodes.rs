//! Which block device a path in `/dev` stood for on a recorded host: from the links of sysfs, the names of device-mapper and
//! udev's database, since a recording has no device nodes.

use std::collections::{BTreeMap, BTreeSet};

use atrest_proto::model::Reason;

use super::super::rooted::Rooted;
use crate::path::HostPath;
use crate::snapshot::{DeviceNumber, Trouble};

/// A sysfs attribute is at most a page.
const ATTRIBUTE: usize = 4096;
/// Where udev keeps an entry for each device, `bMAJOR:MINOR`.
const UDEV: &str = "/run/udev/data";
const UDEV_ENTRY: usize = 64 * 1024;

/// The names of all devices.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    numbers: BTreeSet<DeviceNumber>,
    /// With `/` where sysfs writes `!`.
    kernel: BTreeMap<Vec<u8>, DeviceNumber>,
    mapper: BTreeMap<String, DeviceNumber>,
    /// By link, relative to `/dev`: every device that claims it, with its priority.
    links: BTreeMap<Vec<u8>, Vec<(i64, DeviceNumber)>>,
}

impl Nodes {
    /// Reads the names of all devices of a recording.
    pub(super) fn read(files: &Rooted) -> Self {
        let mut nodes = Self::default();
        let entries = files.list(&UDEV.into()).unwrap_or_default();
        for name in files.list(&"/sys/dev/block".into()).unwrap_or_default() {
            let Ok(number) = String::from_utf8_lossy(&name).parse::<DeviceNumber>() else {
                continue;
            };
            nodes.numbers.insert(number);
            let directory = HostPath::from("/sys/dev/block").join(&name);
            if let Some(name) =
                files.read_link(&directory).ok().as_ref().and_then(HostPath::file_name)
            {
                nodes.kernel.insert(in_dev(name), number);
            }
            // Looking for what is not there takes longest, and most devices have neither.
            let is_mapped = files.list(&directory).is_ok_and(|names| {
                names.binary_search_by(|name| name.as_slice().cmp(b"dm")).is_ok()
            });
            if is_mapped && let Ok(name) = files.read(&directory.join("dm/name"), ATTRIBUTE) {
                let name = String::from_utf8_lossy(&name).trim().to_owned();
                nodes.mapper.insert(name, number);
            }
            let entry = format!("b{number}");
            if entries.binary_search_by(|name| name.as_slice().cmp(entry.as_bytes())).is_ok()
                && let Ok(entry) = files.read(&HostPath::from(UDEV).join(entry), UDEV_ENTRY)
            {
                nodes.udev(&entry, number);
            }
        }
        // A recording made by hand may lack the links by number.
        for name in files.list(&"/sys/class/block".into()).unwrap_or_default() {
            if nodes.kernel.contains_key(&in_dev(&name)) {
                continue;
            }
            let text =
                files.read(&HostPath::from("/sys/class/block").join(&name).join("dev"), ATTRIBUTE);
            let number =
                text.ok().and_then(|text| String::from_utf8_lossy(&text).trim().parse().ok());
            if let Some(number) = number {
                nodes.kernel.entry(in_dev(&name)).or_insert(number);
            }
        }
        nodes
    }

    /// `S:LINK` for each link of the device, `L:PRIORITY` for all of them, 0 unless said.
    fn udev(&mut self, entry: &[u8], number: DeviceNumber) {
        let lines = || entry.split(|byte| *byte == b'\n');
        let priority = lines()
            .find_map(|line| {
                std::str::from_utf8(line.strip_prefix(b"L:")?).ok()?.trim().parse().ok()
            })
            .unwrap_or(0);
        for link in lines().filter_map(|line| line.strip_prefix(b"S:")) {
            self.links.entry(link.to_vec()).or_default().push((priority, number));
        }
    }

    /// The names of device-mapper devices.
    pub(super) fn mapper_names(&self) -> Vec<String> {
        self.mapper.keys().cloned().collect()
    }

    /// The device that a path below `/dev` stands for.
    pub(super) fn device(&self, path: &HostPath) -> Result<Option<DeviceNumber>, Trouble> {
        let Some(name) = path.as_bytes().strip_prefix(b"/dev/") else { return Ok(None) };
        if let Some(number) = self.kernel.get(name) {
            return Ok(Some(*number));
        }
        let text = String::from_utf8_lossy(name);
        let by_number = text.strip_prefix("block/").and_then(|number| number.parse().ok());
        if let Some(number) = by_number.filter(|number| self.numbers.contains(number)) {
            return Ok(Some(number));
        }
        let mapped = text.strip_prefix("mapper/").and_then(|name| self.mapper.get(name));
        if let Some(number) = mapped {
            return Ok(Some(*number));
        }
        if let Some(claims) = self.links.get(name) {
            return winner(claims).map(Some).ok_or_else(|| {
                let detail = format!("{path}: several devices claim that name");
                Trouble::new(Reason::Unreadable, detail)
            });
        }
        Ok(self.logical_volume(&text))
    }

    /// LVM names its devices `VG-LV`, with `-` doubled inside either name.
    fn logical_volume(&self, name: &str) -> Option<DeviceNumber> {
        let (group, volume) = name.split_once('/')?;
        let name = format!("{}-{}", group.replace('-', "--"), volume.replace('-', "--"));
        self.mapper.get(&name).copied()
    }
}

/// sysfs writes `!` where a name has `/`.
fn in_dev(name: &[u8]) -> Vec<u8> {
    name.iter().map(|byte| if *byte == b'!' { b'/' } else { *byte }).collect()
}

/// Of several devices that claim one link udev gives it to the one with the highest priority. Between equals it is left to
/// chance, and so to nobody here.
fn winner(claims: &[(i64, DeviceNumber)]) -> Option<DeviceNumber> {
    let highest = claims.iter().map(|(priority, _)| *priority).max()?;
    let mut first = claims.iter().filter(|(priority, _)| *priority == highest);
    match (first.next(), first.next()) {
        (Some((_, number)), None) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn nodes(udev: &[(&str, &str)]) -> (tempfile::TempDir, Nodes) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("sys/dev/block")).unwrap();
        std::fs::create_dir_all(root.join("sys/devices/virtual/block/dm-0/dm")).unwrap();
        std::fs::create_dir_all(root.join("run/udev/data")).unwrap();
        symlink("../../devices/x/cciss!c0d0", root.join("sys/dev/block/104:0")).unwrap();
        symlink("../../devices/virtual/block/dm-0", root.join("sys/dev/block/254:0")).unwrap();
        std::fs::write(root.join("sys/devices/virtual/block/dm-0/dm/name"), "v--g-e--s\n").unwrap();
        for (number, entry) in udev {
            std::fs::write(root.join(format!("run/udev/data/b{number}")), entry).unwrap();
        }
        let nodes = Nodes::read(&Rooted::new(root));
        (directory, nodes)
    }

    const CCISS: DeviceNumber = DeviceNumber::new(104, 0);
    const MAPPED: DeviceNumber = DeviceNumber::new(254, 0);

    #[test]
    fn every_name_leads_to_its_device() {
        let (_directory, nodes) = nodes(&[("254:0", "S:disk/by-uuid/0123\nS:mapper/part1\nI:1\n")]);
        for (name, number) in [
            ("/dev/cciss/c0d0", CCISS),
            ("/dev/block/104:0", CCISS),
            ("/dev/dm-0", MAPPED),
            ("/dev/mapper/v--g-e--s", MAPPED),
            ("/dev/v-g/e-s", MAPPED),
            ("/dev/disk/by-uuid/0123", MAPPED),
            ("/dev/mapper/part1", MAPPED),
        ] {
            assert_eq!(nodes.device(&name.into()), Ok(Some(number)), "{name}");
        }
        for name in ["/dev/sda", "/dev/block/1:1", "/dev/mapper/x", "/srv/dm-0"] {
            assert_eq!(nodes.device(&name.into()), Ok(None), "{name}");
        }
    }

    #[test]
    fn of_several_claims_the_highest_priority_wins_and_a_tie_is_nobodys() {
        let link = HostPath::from("/dev/disk/by-label/D");
        let (_directory, first) =
            nodes(&[("254:0", "S:disk/by-label/D\n"), ("104:0", "S:disk/by-label/D\nL:100\n")]);
        assert_eq!(first.device(&link), Ok(Some(CCISS)));
        let (_directory, tie) =
            nodes(&[("254:0", "S:disk/by-label/D\n"), ("104:0", "S:disk/by-label/D\nL:0\n")]);
        assert!(tie.device(&link).is_err());
    }
}
