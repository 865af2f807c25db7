//! The devices of each bcachefs file system: `/sys/fs/bcachefs/UUID/dev-N/block`, a link to the device.

use super::Names;
use crate::host::Host;
use crate::path::HostPath;
use crate::snapshot::{DeviceNumber, Namespace};

const POOLS: &str = "/sys/fs/bcachefs";

pub(super) fn pools(host: &dyn Host, known: &Names) -> Vec<Vec<DeviceNumber>> {
    let uuids = host.list(&Namespace::Host, &POOLS.into()).unwrap_or_default();
    // With a member that is not known the pool's legs are not all known: it is left out, hence unknown.
    uuids
        .iter()
        .filter_map(|uuid| members(host, &HostPath::from(POOLS).join(uuid), known))
        .collect()
}

fn members(host: &dyn Host, pool: &HostPath, known: &Names) -> Option<Vec<DeviceNumber>> {
    let names = host.list(&Namespace::Host, pool).ok()?;
    let members = names.iter().filter(|name| name.starts_with(b"dev-"));
    members
        .map(|name| {
            let link = host.read_link(&Namespace::Host, &pool.join(name).join("block")).ok()?;
            known.in_sysfs(link.file_name()?)
        })
        .collect()
}
