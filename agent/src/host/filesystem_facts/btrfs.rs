//! The devices of each btrfs file system: `/sys/fs/btrfs/FSID/devices/`.

use super::Names;
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::{DeviceNumber, Namespace};

const POOLS: &str = "/sys/fs/btrfs";

pub(super) fn pools(host: &dyn Host, known: &Names) -> Vec<Vec<DeviceNumber>> {
    let mut pools = Vec::new();
    for fsid in host.list(&Namespace::Host, &POOLS.into()).unwrap_or_default() {
        let directory = HostPath::from(POOLS).join(&fsid).join("devices");
        let Ok(names) = host.list(&Namespace::Host, &directory) else { continue };
        let members: Option<Vec<DeviceNumber>> =
            names.iter().map(|name| known.in_sysfs(name)).collect();
        // With a member that is not known the pool's legs are not all known: it is left out, hence unknown.
        pools.extend(members);
    }
    pools
}
