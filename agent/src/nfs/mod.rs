//! Directories that machines lend each other over NFS: the client cannot see how they rest, the agent of the machine that
//! lends them can. What it says reaches the client by way of the server, and is a claim there.

pub mod addresses;
pub mod etab;
mod lending;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use atrest_proto::model::{PathPosture, Use, Verdict};
use serde::{Deserialize, Serialize};

pub use etab::Export;
pub use lending::{Lending, Offer};

use crate::path::HostPath;
use crate::snapshot::{Mount, MountTable, Namespace};

/// `mount.nfs(8)`: the names of the file system.
const FILESYSTEMS: [&str; 2] = ["nfs", "nfs4"];

/// A directory of another machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RemoteDirectory {
    /// That the kernel speaks to.
    pub address: IpAddr,
    /// The name that it was mounted by.
    pub path: HostPath,
}

/// What the agent of the machine that keeps a directory says of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Vouch {
    /// The name of that machine.
    pub host: String,
    /// Of all that lies there, as that machine proves it.
    pub verdict: Verdict,
}

/// What is mounted, in all mount tables that could be read.
pub fn borrowed(mounts: &[(Namespace, MountTable)]) -> BTreeSet<RemoteDirectory> {
    let tables = mounts.iter().filter_map(|(_, table)| table.known());
    tables.flatten().filter_map(RemoteDirectory::of).collect()
}

/// What a posture says of the directories that are lent.
pub fn lent(exports: &[Export], paths: &[PathPosture]) -> BTreeMap<HostPath, Verdict> {
    etab::names(exports, |export| {
        let is_it = |path: &&PathPosture| {
            path.usage == Use::Export && HostPath::from(path.path.as_str()) == *export
        };
        paths.iter().find(is_it).map_or(Verdict::Unknown, |path| path.verdict)
    })
}

impl RemoteDirectory {
    /// What is mounted here, if it is NFS and the kernel tells whom it speaks to: the name of a server in the source is
    /// what somebody typed, `addr=` is where the packets go.
    pub fn of(mount: &Mount) -> Option<Self> {
        if !FILESYSTEMS.contains(&mount.fstype.as_str()) {
            return None;
        }
        let address =
            mount.super_options.split(',').find_map(|option| option.strip_prefix("addr="))?;
        let source = mount.source.as_bytes();
        // A name has no slash, and an address with colons stands in brackets.
        let at = source.windows(2).position(|pair| pair == b":/")?;
        let path = HostPath::new(source.get(at + 1..)?.to_vec()).normalised();
        Some(Self { address: address.parse().ok()?, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::DeviceNumber;

    fn mount(fstype: &str, source: &str, options: &str) -> Mount {
        Mount {
            id: 1,
            parent: 0,
            device: DeviceNumber::new(0, 50),
            root: HostPath::root(),
            mount_point: "/mnt".into(),
            fstype: fstype.to_owned(),
            source: source.into(),
            super_options: options.to_owned(),
        }
    }

    #[test]
    fn a_directory_is_named_by_the_address_that_the_kernel_uses() {
        let of = |fstype, source, options| RemoteDirectory::of(&mount(fstype, source, options));
        let directory = |address: &str, path: &str| {
            Some(RemoteDirectory { address: address.parse().unwrap(), path: path.into() })
        };
        assert_eq!(of("nfs4", "fs-1:/srv/b", "rw,addr=10.0.0.5"), directory("10.0.0.5", "/srv/b"));
        assert_eq!(of("nfs", "fs-1:/srv/b/", "addr=10.0.0.5"), directory("10.0.0.5", "/srv/b"));
        assert_eq!(of("nfs4", "[fd00::1]:/", "rw,addr=fd00::1"), directory("fd00::1", "/"));
        assert_eq!(of("nfs4", "fs-1:/srv/b", "rw"), None, "nobody knows whom it means");
        assert_eq!(of("nfs4", "fs-1:/srv/b", "clientaddr=10.0.0.5"), None);
        assert_eq!(of("cifs", "//fs-1/b", "addr=10.0.0.5"), None);
        assert_eq!(of("nfs4", "nonsense", "addr=10.0.0.5"), None);
    }
}
