//! ZFS: datasets of a pool, each encrypted by itself or not, over the devices of the pool.
//!
//! Native encryption covers contents, names and attributes; not the names and sizes of datasets. See `zfs-load-key(8)`.

use atrest_proto::model::{EncryptedBy, Reason};

use crate::layer::{Leg, Role};
use crate::snapshot::{FilesystemFacts, Mount, Observed};
use crate::zfs::{Class, Facts};

pub(super) const NAMES: &[&str] = &["zfs"];

pub(super) fn dissect(mount: &Mount, facts: &FilesystemFacts) -> Vec<Leg> {
    match &facts.zfs {
        Some(Observed::Known(zfs)) => dataset(mount, zfs),
        Some(Observed::Unreadable(trouble)) => {
            vec![unknown(mount, trouble.reason, &trouble.detail)]
        }
        Some(Observed::Absent) | None => {
            vec![unknown(mount, Reason::Unreadable, "ZFS was not asked")]
        }
    }
}

fn dataset(mount: &Mount, facts: &Facts) -> Vec<Leg> {
    // A snapshot is mounted as `pool/dataset@name` and is encrypted as its dataset is.
    let source = mount.source.to_string();
    let name = source.split('@').next().unwrap_or_default();
    let Some(encryption) = facts.datasets.get(name) else {
        return vec![unknown(mount, Reason::Unreadable, &format!("no dataset is called {name}"))];
    };
    if encryption.is_working() {
        return vec![Leg::Encrypted(EncryptedBy {
            technology: "zfs".to_owned(),
            device: name.to_owned(),
            cipher: encryption.cipher.clone(),
            key_bits: encryption.key_bits(),
        })];
    }
    if encryption.cipher != "off" {
        let why =
            format!("{name}: encryption {}, key {}", encryption.cipher, encryption.key_status);
        return vec![unknown(mount, Reason::Unreadable, &why)];
    }
    let pool = name.split('/').next().unwrap_or_default();
    let vdevs = facts.pools.get(pool).map(Vec::as_slice).unwrap_or_default();
    if vdevs.is_empty() {
        return vec![unknown(mount, Reason::Unreadable, &format!("the devices of pool {pool}"))];
    }
    let legs = vdevs.iter().filter_map(|vdev| {
        let role = match vdev.class {
            Class::Data => Role::Contents,
            // The intent log holds contents on their way.
            Class::Log => Role::Journal,
            Class::Cache => Role::Cache,
            Class::Spare => return None,
        };
        Some(Leg::Path { path: vdev.path.clone(), role })
    });
    legs.collect()
}

fn unknown(mount: &Mount, reason: Reason, why: &str) -> Leg {
    Leg::Unknown { reason, detail: format!("{}: ZFS: {why}", mount.mount_point) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::mount;
    use super::*;
    use crate::zfs::parse;

    const POOL: &[u8] = b"tank\t1G\t1M\n\tmirror-0\t1G\n\t/dev/sda1\t1G\n\t/dev/mapper/c\t1G\nlogs   -  -\n\t/dev/sdb\t1G\ncache   -   -\n\t/dev/sdc\t1G\nspare   -  -\n\t/dev/sdd\t-\n";
    const DATASETS: &[u8] = b"tank\tencryption\toff\ntank\tkeystatus\t-\ntank/es\tencryption\taes-256-gcm\ntank/es\tkeystatus\tavailable\ntank/es/odd\tencryption\taes-256-gcm\ntank/es/odd\tkeystatus\tunavailable\n";

    fn legs(source: &str) -> Vec<Leg> {
        let mut mount = mount("zfs", "rw");
        mount.source = source.into();
        let facts = FilesystemFacts {
            zfs: Some(Observed::Known(parse(POOL, DATASETS).unwrap())),
            ..FilesystemFacts::default()
        };
        dissect(&mount, &facts)
    }

    #[test]
    fn an_encrypted_dataset_encrypts_and_its_snapshots_with_it() {
        for source in ["tank/es", "tank/es@daily"] {
            assert!(matches!(&legs(source)[..], [Leg::Encrypted(by)] if by.key_bits == Some(256)));
        }
    }

    #[test]
    fn a_plain_dataset_goes_on_to_every_device_that_holds_contents() {
        let path = |path: &str, role| Leg::Path { path: path.into(), role };
        assert_eq!(
            legs("tank"),
            [
                path("/dev/sda1", Role::Contents),
                path("/dev/mapper/c", Role::Contents),
                path("/dev/sdb", Role::Journal),
                path("/dev/sdc", Role::Cache),
            ]
        );
    }

    #[test]
    fn what_is_not_known_is_unknown() {
        for source in ["tank/es/odd", "tank/gone", "other"] {
            assert!(matches!(legs(source)[..], [Leg::Unknown { .. }]), "{source}");
        }
        assert!(matches!(
            dissect(&mount("zfs", "rw"), &FilesystemFacts::default())[..],
            [Leg::Unknown { .. }]
        ));
    }
}
