//! What file systems say of themselves beyond mountinfo: further devices, journals, encryption.

mod bcachefs;
mod btrfs;
pub(crate) mod ext;
pub(crate) mod f2fs;

use std::collections::BTreeMap;

use super::Host;
use crate::path::HostPath;
use crate::snapshot::{BlockDevice, DeviceNumber, FilesystemFacts, Mount, MountTable, Namespace};

type Devices = BTreeMap<DeviceNumber, BlockDevice>;

/// Asks about every mounted file system that needs it, once each.
pub fn observe(
    host: &dyn Host,
    tables: &[(Namespace, MountTable)],
    devices: &Devices,
) -> FilesystemFacts {
    let of = |fstype: &'static str| {
        let mounts = tables.iter().filter_map(|(_, table)| table.known()).flatten();
        mounts.filter(move |mount| mount.fstype == fstype)
    };
    let mut facts = FilesystemFacts::default();
    let names = std::cell::LazyCell::new(|| Names::new(devices));
    let mut pools = None;
    for mount in of("btrfs") {
        let pools = pools.get_or_insert_with(|| btrfs::pools(host, &names));
        facts.btrfs.entry(mount.device).or_insert_with(|| pool_of(host, mount, &names, pools));
    }
    let mut pools = None;
    for mount in of("bcachefs") {
        let pools = pools.get_or_insert_with(|| bcachefs::pools(host, &names));
        facts.bcachefs.entry(mount.device).or_insert_with(|| pool_of(host, mount, &names, pools));
    }
    let mut running = None;
    for mount in of("ext4").chain(of("ext3")) {
        if let Some(device) = devices.get(&mount.device) {
            let running = running.get_or_insert_with(|| ext::running(host, devices));
            let journal = || ext::journal(host, device, running);
            facts.journals.entry(mount.device).or_insert_with(journal);
        }
    }
    for mount in of("f2fs") {
        if let Some(device) = devices.get(&mount.device) {
            let further = || f2fs::further_devices(host, device);
            facts.f2fs.entry(mount.device).or_insert_with(further);
        }
    }
    if of("zfs").next().is_some() {
        facts.zfs = Some(host.zfs());
    }
    facts
}

/// Devices by their names; of several with one name the first.
struct Names {
    nodes: BTreeMap<String, DeviceNumber>,
    /// With `/` where sysfs writes `!`.
    sysfs: BTreeMap<String, DeviceNumber>,
}

impl Names {
    fn new(devices: &Devices) -> Self {
        let mut names = Self { nodes: BTreeMap::new(), sysfs: BTreeMap::new() };
        for device in devices.values() {
            names.nodes.entry(device.node()).or_insert(device.number);
            names.sysfs.entry(device.name.clone()).or_insert(device.number);
        }
        names
    }

    /// The device with this name in sysfs.
    fn in_sysfs(&self, name: &[u8]) -> Option<DeviceNumber> {
        self.sysfs.get(&String::from_utf8_lossy(name).replace('!', "/")).copied()
    }
}

/// The devices of the pool that `mount` is of. mountinfo gives such file systems a number of their own; which one it is,
/// its source tells, as one device or as several with colons between.
fn pool_of(
    host: &dyn Host,
    mount: &Mount,
    names: &Names,
    pools: &[Vec<DeviceNumber>],
) -> Vec<DeviceNumber> {
    let sources = mount.source.as_bytes().split(|byte| *byte == b':');
    let numbers: Vec<DeviceNumber> =
        sources.filter_map(|source| named(host, &HostPath::new(source.to_vec()), names)).collect();
    pools
        .iter()
        .find(|pool| pool.iter().any(|member| numbers.contains(member)))
        .cloned()
        .unwrap_or_default()
}

fn named(host: &dyn Host, source: &HostPath, names: &Names) -> Option<DeviceNumber> {
    names.nodes.get(&source.to_string()).copied().or_else(|| {
        host.resolve(&Namespace::Host, source).at.known().and_then(|found| found.block_device)
    })
}
