//! The block devices of a host, from sysfs.
//!
//! Attributes: the kernel's `Documentation/ABI/{stable/sysfs-block,testing/sysfs-block-dm,testing/sysfs-block-zram}`
//! and `Documentation/admin-guide/md.rst`.

use std::collections::BTreeMap;

use atrest_proto::model::{Gap, Reason};

use super::{Host, read_text};
use crate::path::HostPath;
use crate::snapshot::{
    BlockDevice, DeviceNumber, DmFacts, LoopFacts, MdFacts, MdMember, Namespace, Observed, Trouble,
};

/// Each block device has a link here, named after its number.
const BY_NUMBER: &str = "/sys/dev/block";
/// Major number of md arrays; of all numbers of block devices only this one is needed as a fall-back.
const MD_MAJOR: u32 = 9;

/// All block devices by number, and what could not be looked at.
pub fn observe(host: &dyn Host) -> (BTreeMap<DeviceNumber, BlockDevice>, Vec<Gap>) {
    let mut gaps = Vec::new();
    let names = match host.list(&Namespace::Host, &BY_NUMBER.into()) {
        Ok(names) => names,
        Err(trouble) => {
            gaps.push(gap(BY_NUMBER, trouble));
            return (BTreeMap::new(), gaps);
        }
    };
    let mut places = BTreeMap::new();
    let mut by_name = BTreeMap::new();
    for name in names {
        let Ok(number) = String::from_utf8_lossy(&name).parse::<DeviceNumber>() else { continue };
        let entry = HostPath::from(BY_NUMBER).join(&name);
        match host.read_link(&Namespace::Host, &entry) {
            Ok(link) => {
                by_name.insert(last(&link), number);
                places.insert(number, Place { directory: entry, link });
            }
            // It went away between the listing and the look.
            Err(trouble) if trouble.reason == Reason::NotFound => {}
            Err(trouble) => gaps.push(gap(&entry.to_string(), trouble)),
        }
    }
    let devices = places
        .iter()
        .map(|(number, place)| (*number, device(host, *number, place, &by_name)))
        .collect();
    (devices, gaps)
}

struct Place {
    /// `/sys/dev/block/8:1`.
    directory: HostPath,
    /// Where that leads: `../../devices/…/block/sda/sda1`.
    link: HostPath,
}

fn gap(subject: &str, trouble: Trouble) -> Gap {
    let remedy = if trouble.reason == Reason::NoPermission {
        "run the agent as root, or with CAP_DAC_READ_SEARCH".to_owned()
    } else {
        String::new()
    };
    Gap { subject: subject.to_owned(), reason: trouble.reason, detail: trouble.detail, remedy }
}

/// sysfs writes `!` where a device name has `/`.
fn last(link: &HostPath) -> Vec<u8> {
    link.file_name().unwrap_or_default().to_vec()
}

fn kernel_name(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).replace('!', "/")
}

/// Reads one attribute; a missing one is `None`, any other trouble is kept on the device.
struct Attributes<'a> {
    host: &'a dyn Host,
    directory: &'a HostPath,
    /// What is in the directory, sorted; what is not there is not asked for. `None`: it could not be listed.
    present: Option<Vec<Vec<u8>>>,
    trouble: Option<Trouble>,
}

impl<'a> Attributes<'a> {
    fn new(host: &'a dyn Host, directory: &'a HostPath) -> Self {
        let present = host.list(&Namespace::Host, directory).ok();
        Self { host, directory, present, trouble: None }
    }

    fn may_have(&self, name: &str) -> bool {
        let first = name.split('/').next().unwrap_or_default().as_bytes();
        let is_first = |known: &Vec<u8>| known.as_slice().cmp(first);
        self.present.as_ref().is_none_or(|present| present.binary_search_by(is_first).is_ok())
    }

    fn text(&mut self, name: &str) -> Option<String> {
        if !self.may_have(name) {
            return None;
        }
        match read_text(self.host, &self.directory.join(name)) {
            Ok(text) => Some(text),
            Err(trouble) => {
                self.keep(trouble);
                None
            }
        }
    }

    fn names(&mut self, name: &str) -> Vec<Vec<u8>> {
        if !self.may_have(name) {
            return Vec::new();
        }
        match self.host.list(&Namespace::Host, &self.directory.join(name)) {
            Ok(names) => names,
            Err(trouble) => {
                self.keep(trouble);
                Vec::new()
            }
        }
    }

    fn keep(&mut self, trouble: Trouble) {
        if trouble.reason != Reason::NotFound {
            self.trouble.get_or_insert(trouble);
        }
    }
}

fn device(
    host: &dyn Host,
    number: DeviceNumber,
    place: &Place,
    by_name: &BTreeMap<Vec<u8>, DeviceNumber>,
) -> BlockDevice {
    let mut attributes = Attributes::new(host, &place.directory);
    let raw_name = last(&place.link);
    let components: Vec<&[u8]> = place.link.components().collect();
    let parent = components.iter().rev().nth(1).and_then(|name| by_name.get(*name)).copied();
    let partition_of = parent.filter(|_| attributes.text("partition").is_some());
    let is_virtual = components.windows(2).any(|pair| pair == [&b"devices"[..], b"virtual"]);
    let mut slaves = Vec::new();
    for slave in attributes.names("slaves") {
        match by_name.get(&slave) {
            Some(number) => slaves.push(*number),
            // A slave that is not among the devices: asked again, or it counts as unreadable.
            None => match slave_number(host, &place.directory, &slave) {
                Some(number) => slaves.push(number),
                None => attributes.keep(Trouble::new(
                    Reason::Unreadable,
                    format!(
                        "{}: its slave {} is gone",
                        kernel_name(&raw_name),
                        kernel_name(&slave)
                    ),
                )),
            },
        }
    }
    slaves.sort_unstable();
    let dm = device_mapper(host, number, &slaves, &mut attributes);
    let md = md(number, &slaves, &mut attributes, by_name);
    let caches = caches(host, &raw_name, &slaves, &mut attributes, by_name);
    let looped = attributes.text("loop/backing_file").map(|file| backing(&file));
    let zram_backing = raw_name
        .starts_with(b"zram")
        .then(|| attributes.text("backing_dev"))
        .flatten()
        .map(|path| if path == "none" { HostPath::default() } else { path.into() });
    let mut device = BlockDevice {
        number,
        name: kernel_name(&raw_name),
        sectors: attributes.text("size").and_then(|size| size.parse().ok()),
        partition_of,
        slaves,
        dm,
        md,
        looped,
        caches,
        is_virtual,
        claimed_by: None,
        zram_backing,
        trouble: attributes.trouble,
    };
    if device.looped.is_some() {
        let backing = host.loop_backing(&device);
        if let Some(looped) = &mut device.looped {
            looped.backing = backing;
        }
    }
    device
}

fn slave_number(host: &dyn Host, directory: &HostPath, slave: &[u8]) -> Option<DeviceNumber> {
    read_text(host, &directory.join("slaves").join(slave).join("dev")).ok()?.parse().ok()
}

fn device_mapper(
    host: &dyn Host,
    number: DeviceNumber,
    slaves: &[DeviceNumber],
    attributes: &mut Attributes<'_>,
) -> Option<DmFacts> {
    let name = attributes.text("dm/name")?;
    let table = match host.dm_table(number, &name) {
        // The device is in sysfs, so it has a table, if only an empty one: nothing was told.
        Observed::Absent => Observed::Unreadable(Trouble::new(
            Reason::Unreadable,
            format!("device-mapper has no table for {name}"),
        )),
        table @ (Observed::Known(_) | Observed::Unreadable(_)) => table,
    };
    let mut dependencies = host.dm_dependencies(number);
    if let Some(devices) = &mut dependencies {
        devices.sort_unstable();
    }
    // A table that is loaded and not live has slaves in sysfs all the same.
    let dependencies = dependencies.filter(|devices| devices != slaves);
    Some(DmFacts {
        uuid: attributes.text("dm/uuid").unwrap_or_default(),
        suspended: attributes.text("dm/suspended").as_deref() == Some("1"),
        name,
        table,
        dependencies,
    })
}

fn md(
    number: DeviceNumber,
    slaves: &[DeviceNumber],
    attributes: &mut Attributes<'_>,
    by_name: &BTreeMap<Vec<u8>, DeviceNumber>,
) -> Option<MdFacts> {
    let Some(level) = attributes.text("md/level") else {
        // A recording may lack the directory; the array's own members are its slaves all the same.
        let members = slaves.iter().map(|device| member(*device)).collect();
        return (number.major == MD_MAJOR).then(|| MdFacts { level: String::new(), members });
    };
    let mut members = Vec::new();
    for entry in attributes.names("md") {
        let Some(name) = entry.strip_prefix(b"dev-") else { continue };
        let of = |what| format!("md/dev-{}/{what}", String::from_utf8_lossy(name));
        let state = attributes.text(&of("state")).unwrap_or_default();
        let slot = attributes.text(&of("slot")).unwrap_or_default();
        match by_name.get(name) {
            Some(device) => members.push(MdMember { device: *device, state, slot }),
            None => attributes.keep(Trouble::new(
                Reason::Unreadable,
                format!("its member {} is gone", kernel_name(name)),
            )),
        }
    }
    for slave in slaves {
        if !members.iter().any(|member| member.device == *slave) {
            members.push(member(*slave));
        }
    }
    Some(MdFacts { level, members })
}

/// A member of which nothing but its device is known.
fn member(device: DeviceNumber) -> MdMember {
    MdMember { device, state: String::new(), slot: String::new() }
}

/// Which devices below a bcache device are caches: those among its slaves that sysfs shows as one, and those of the set
/// that it is attached to.
fn caches(
    host: &dyn Host,
    raw_name: &[u8],
    slaves: &[DeviceNumber],
    attributes: &mut Attributes<'_>,
    by_name: &BTreeMap<Vec<u8>, DeviceNumber>,
) -> Vec<DeviceNumber> {
    if !raw_name.starts_with(b"bcache") {
        return Vec::new();
    }
    let is_cache = |slave: &DeviceNumber| {
        let directory = HostPath::from(format!("{BY_NUMBER}/{slave}/bcache"));
        let names = host.list(&Namespace::Host, &directory).unwrap_or_default();
        names.iter().any(|name| name == b"cache_replacement_policy")
    };
    let mut caches: Vec<DeviceNumber> =
        slaves.iter().filter(|slave| is_cache(slave)).copied().collect();
    for name in attributes.names("bcache/cache") {
        let Some(number) = name.strip_prefix(b"cache") else { continue };
        if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
            continue;
        }
        let entry = attributes.directory.join(b"bcache/cache").join(&name);
        // `…/block/sdc/bcache`
        let link = host.read_link(&Namespace::Host, &entry);
        let device = link.as_ref().ok().and_then(|link| {
            let parts: Vec<&[u8]> = link.components().collect();
            by_name.get(parts.iter().rev().nth(1).copied()?).copied()
        });
        match device {
            Some(device) => caches.push(device),
            None => attributes.keep(Trouble::new(
                Reason::Unreadable,
                format!("{}: a device of its cache set is not known", kernel_name(raw_name)),
            )),
        }
    }
    caches.sort_unstable();
    caches.dedup();
    caches
}

fn backing(file: &str) -> LoopFacts {
    let named = file.strip_suffix(" (deleted)");
    LoopFacts {
        backing_file: named.unwrap_or(file).into(),
        deleted: named.is_some(),
        backing: None,
    }
}
