//! Keystores as observed on an ordinary host, for the tests of the checks.

use crate::host::{FileKind, Metadata};
use crate::keystore::access::{Access, Directory, NamedEntry};
use crate::keystore::acl::{Entry, Who};
use crate::keystore::leftover::Leftovers;
use crate::keystore::{Account, Contents, Observation};
use crate::path::HostPath;
use crate::snapshot::{Namespace, Observed};

/// A keystore as the package of Elasticsearch leaves it: `root:elasticsearch 0660` below `2750`.
pub(super) fn keystore(format: &str, version: u32, has_password: Option<bool>) -> Observation {
    let of_elasticsearch = format == "elasticsearch" || format == "opensearch";
    Observation {
        path: HostPath::from("/etc/elasticsearch/elasticsearch.keystore"),
        namespace: Namespace::Host,
        product: format.to_owned(),
        format: if of_elasticsearch { "elasticsearch" } else { format }.to_owned(),
        service: Some(format.to_owned()),
        run_as: Some(Account {
            uid: 101,
            gid: 102,
            user: "elasticsearch".to_owned(),
            group: "elasticsearch".to_owned(),
        }),
        root: None,
        file: Observed::Known(access(FileKind::File, 0o660, 0, 102)),
        resolved: None,
        is_symlink: false,
        parents: vec![
            directory("/etc/elasticsearch", 0o2755, 0, 102),
            directory("/etc", 0o755, 0, 0),
            directory("/", 0o755, 0, 0),
        ],
        contents: Observed::Known(Contents {
            format: format.to_owned(),
            version,
            has_password,
            opens_without_password: has_password.map(|has_password| !has_password),
            entries: None,
            kdf: "pbkdf2-hmac-sha512 x 210000".to_owned(),
            cipher: "aes-256-gcm".to_owned(),
        }),
        leftovers: Leftovers::default(),
        password_sources: Vec::new(),
        troubles: Vec::new(),
    }
}

pub(super) fn directory(path: &str, mode: u32, uid: u32, gid: u32) -> Directory {
    Directory { path: HostPath::from(path), access: access(FileKind::Directory, mode, uid, gid) }
}

pub(super) fn access(kind: FileKind, mode: u32, uid: u32, gid: u32) -> Access {
    let name = |id| match id {
        0 => "root".to_owned(),
        101 | 102 => "elasticsearch".to_owned(),
        id => id.to_string(),
    };
    Access {
        metadata: Metadata {
            kind,
            mode,
            uid,
            gid,
            size: 199,
            links: 1,
            block_device: None,
            changed_at: 0,
        },
        owner: name(uid),
        group: name(gid),
        group_rights: (mode >> 3) & 7,
        is_owner_unmapped: false,
        is_group_unmapped: false,
        members: Vec::new(),
        members_elsewhere: Vec::new(),
        entries: Vec::new(),
    }
}

/// An access-control entry for somebody.
pub(super) fn entry(who: Who, rights: u16, text: &str) -> NamedEntry {
    NamedEntry { entry: Entry { who, rights }, text: text.to_owned(), members: Vec::new() }
}
