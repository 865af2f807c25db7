//! Keystores as observed on an ordinary host, for the tests of the checks.

use crate::host::{FileKind, Metadata};
use crate::keystore::{Account, Contents, Observation, ParentDirectory};
use crate::path::HostPath;
use crate::snapshot::{Namespace, Observed};

/// A keystore as the package of Elasticsearch leaves it: `root:elasticsearch 0660` below `2750`.
pub(super) fn keystore(format: &str, version: u32, has_password: Option<bool>) -> Observation {
    Observation {
        path: HostPath::from("/etc/elasticsearch/elasticsearch.keystore"),
        namespace: Namespace::Host,
        product: format.to_owned(),
        service: Some(format.to_owned()),
        run_as: Some(Account {
            uid: 101,
            gid: 102,
            user: "elasticsearch".to_owned(),
            group: "elasticsearch".to_owned(),
        }),
        file: Observed::Known(metadata(FileKind::File, 0o660, 0, 102)),
        resolved: None,
        is_symlink: false,
        owner: "root".to_owned(),
        group: "elasticsearch".to_owned(),
        acl: Vec::new(),
        parents: vec![
            directory("/etc/elasticsearch", 0o2750, 0, 102),
            directory("/etc", 0o755, 0, 0),
            directory("/", 0o755, 0, 0),
        ],
        contents: Observed::Known(Contents {
            format: format.to_owned(),
            version,
            has_password,
            opens_without_password: has_password.map(|has_password| !has_password),
            kdf: "pbkdf2-hmac-sha512 x 210000".to_owned(),
            cipher: "aes-256-gcm".to_owned(),
        }),
        troubles: Vec::new(),
    }
}

pub(super) fn directory(path: &str, mode: u32, uid: u32, gid: u32) -> ParentDirectory {
    ParentDirectory {
        path: HostPath::from(path),
        metadata: metadata(FileKind::Directory, mode, uid, gid),
    }
}

fn metadata(kind: FileKind, mode: u32, uid: u32, gid: u32) -> Metadata {
    Metadata { kind, mode, uid, gid, size: 199, links: 1, block_device: None, changed_at: 0 }
}
