//! A host with an encrypted volume and its boot files, for the tests of the checks.

use atrest_proto::model::{Finding, PathPosture};

use super::{Check, Context, luks_fixture};
use crate::boot::{Boot, BootFile, FileId, Role, cmdline};
use crate::host::{FileKind, Metadata};
use crate::path::HostPath;
use crate::policy::Policy;
use crate::snapshot::{DeviceNumber, Namespace, Observed, Resolved, Snapshot, Target};
use crate::volume::Evaluator;
use crate::{crypttab, fstab, mounts};

/// The root file system is on the plain `/dev/sda1`, `/srv/es` on `/dev/mapper/es`, which is a crypt device on `/dev/sdb1`.
const MOUNTS: &str = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      2 1 254:0 / /srv/es rw - xfs /dev/mapper/es rw\n\
                      3 1 0:20 / /run rw - ramfs none rw\n";

/// That host, with these tables, and `/srv/es` watched.
pub(super) fn host(crypttab: &str, fstab: &str, cmdline: &str) -> Snapshot {
    let mut snapshot = luks_fixture::snapshot(Observed::Known(luks_fixture::header(
        vec![luks_fixture::slot(0)],
        Vec::new(),
    )));
    let disk = crate::snapshot::BlockDevice {
        number: DeviceNumber::new(8, 1),
        name: "sda1".to_owned(),
        ..Default::default()
    };
    snapshot.devices.insert(disk.number, disk);
    let table = mounts::parse(MOUNTS.as_bytes()).unwrap();
    snapshot.mounts = vec![(Namespace::Host, Observed::Known(table))];
    snapshot.targets = vec![Target {
        path: "/srv/es".into(),
        usage: atrest_proto::model::Use::Data,
        service: None,
        namespace: Namespace::Host,
        resolution: at("/srv/es"),
        nearest: None,
    }];
    snapshot.boot = Boot {
        crypttab: Observed::Known(crypttab::parse(crypttab.as_bytes())),
        fstab: Observed::Known(fstab::parse(fstab.as_bytes())),
        cmdline: Observed::Known(cmdline::parse(cmdline.as_bytes())),
        ..Boot::default()
    };
    snapshot
}

fn at(path: &str) -> Observed<Resolved> {
    Observed::Known(Resolved::at(path))
}

/// A file of root's with this mode.
pub(super) fn file(role: Role, path: &str, mode: u32) -> BootFile {
    BootFile {
        id: FileId { role, path: HostPath::from(path), on: None },
        named_by: vec!["crypttab (es)".to_owned()],
        is_default: false,
        is_wrapped: false,
        metadata: Observed::Known(Metadata {
            kind: FileKind::File,
            mode,
            uid: 0,
            gid: 0,
            size: 4096,
            links: 1,
            block_device: None,
            changed_at: 0,
        }),
        resolution: at(path),
    }
}

/// What `check` finds, with the verdicts that the evaluator gives.
pub(super) fn evaluate(check: &Check, snapshot: &Snapshot) -> Vec<Finding> {
    let evaluator = Evaluator::new(snapshot);
    let paths: Vec<PathPosture> =
        snapshot.targets.iter().map(|target| evaluator.target(target)).collect();
    let files = &snapshot.boot.surroundings.files;
    let boot_volumes: Vec<PathPosture> =
        files.iter().map(|file| evaluator.target(&file.target())).collect();
    (check.evaluate)(&Context {
        snapshot,
        policy: &Policy::default(),
        paths: &paths,
        swaps: &[],
        keystore_volumes: &[],
        secret_volumes: &[],
        spares: &[],
        boot_volumes: &boot_volumes,
        evaluator: &evaluator,
    })
}
