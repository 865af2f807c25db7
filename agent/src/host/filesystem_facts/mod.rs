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
/// its source tells, as one device or as several with colons between. Where that leads to several pools, all of them count.
fn pool_of(
    host: &dyn Host,
    mount: &Mount,
    names: &Names,
    pools: &[Vec<DeviceNumber>],
) -> Vec<DeviceNumber> {
    let sources = mount.source.as_bytes().split(|byte| *byte == b':');
    let numbers: Vec<DeviceNumber> =
        sources.filter_map(|source| named(host, &HostPath::new(source.to_vec()), names)).collect();
    let own = pools.iter().filter(|pool| pool.iter().any(|member| numbers.contains(member)));
    let mut devices: Vec<DeviceNumber> = own.flatten().copied().collect();
    devices.sort_unstable();
    devices.dedup();
    devices
}

fn named(host: &dyn Host, source: &HostPath, names: &Names) -> Option<DeviceNumber> {
    names.nodes.get(&source.to_string()).copied().or_else(|| {
        host.resolve(&Namespace::Host, source).at.known().and_then(|found| found.block_device)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::recorded::RecordedHost;

    #[test]
    fn a_source_that_leads_to_several_pools_stands_on_all_of_them() {
        let root = tempfile::tempdir().unwrap();
        let host = RecordedHost::new(root.path());
        let number = |minor| DeviceNumber::new(8, minor);
        let disk = |minor, name: &str| BlockDevice {
            number: number(minor),
            name: name.to_owned(),
            ..BlockDevice::default()
        };
        let devices: Devices = [disk(0, "sda"), disk(16, "sdb"), disk(32, "sdc")]
            .into_iter()
            .map(|device| (device.number, device))
            .collect();
        let names = Names::new(&devices);
        let pools = [vec![number(0)], vec![number(16), number(32)]];
        let of = |source: &str| {
            let text = format!("20 1 0:30 / /data rw - bcachefs {source} rw\n");
            let mount = crate::mounts::parse(text.as_bytes()).unwrap().remove(0);
            pool_of(&host, &mount, &names, &pools)
        };
        assert_eq!(of("/dev/sda"), [number(0)]);
        assert_eq!(of("/dev/sda:/dev/sdc"), [number(0), number(16), number(32)]);
        assert_eq!(of("/dev/sdd"), []);
    }
}
