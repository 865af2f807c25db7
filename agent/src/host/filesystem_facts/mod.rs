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
    let mut pools = None;
    for mount in of("btrfs") {
        let pools = pools.get_or_insert_with(|| btrfs::pools(host, devices));
        facts.btrfs.entry(mount.device).or_insert_with(|| pool_of(host, mount, devices, pools));
    }
    let mut pools = None;
    for mount in of("bcachefs") {
        let pools = pools.get_or_insert_with(|| bcachefs::pools(host, devices));
        facts.bcachefs.entry(mount.device).or_insert_with(|| pool_of(host, mount, devices, pools));
    }
    for mount in of("ext4").chain(of("ext3")) {
        if let Some(device) = devices.get(&mount.device) {
            let journal = || ext::journal(host, device, devices);
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

/// The devices of the pool that `mount` is of. mountinfo gives such file systems a number of their own; which one it is,
/// its source tells, as one device or as several with colons between.
fn pool_of(
    host: &dyn Host,
    mount: &Mount,
    devices: &Devices,
    pools: &[Vec<DeviceNumber>],
) -> Vec<DeviceNumber> {
    let sources = mount.source.as_bytes().split(|byte| *byte == b':');
    let numbers: Vec<DeviceNumber> = sources
        .filter_map(|source| named(host, &HostPath::new(source.to_vec()), devices))
        .collect();
    pools
        .iter()
        .find(|pool| pool.iter().any(|member| numbers.contains(member)))
        .cloned()
        .unwrap_or_default()
}

fn named(host: &dyn Host, source: &HostPath, devices: &Devices) -> Option<DeviceNumber> {
    let text = source.to_string();
    let known = devices.values().find(|device| device.node() == text).map(|device| device.number);
    known.or_else(|| {
        host.resolve(&Namespace::Host, source).at.known().and_then(|found| found.block_device)
    })
}

/// The device with this name in sysfs.
fn in_sysfs(name: &[u8], devices: &Devices) -> Option<DeviceNumber> {
    let name = String::from_utf8_lossy(name).replace('!', "/");
    devices.values().find(|device| device.name == name).map(|device| device.number)
}
