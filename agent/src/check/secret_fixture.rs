//! Places of settings as observed on an ordinary host, for the tests of the checks.

use atrest_proto::model::{PathPosture, Use, Verdict};

use crate::host::{FileKind, Metadata};
use crate::path::HostPath;
use crate::secrets::{Contents, Form, Kind, Observation, Place, Sighting, Value};
use crate::snapshot::{Namespace, Observed};
use crate::volume::fixture::proof;

/// A file as the package of Elasticsearch leaves it: `root:elasticsearch 0660`.
pub(super) fn observation(form: Form, path: &str, contents: Contents) -> Observation {
    Observation {
        place: Place {
            path: HostPath::from(path),
            form,
            namespace: Namespace::Host,
            product: "elasticsearch".to_owned(),
            service: Some("elasticsearch".to_owned()),
        },
        is_named: true,
        version: Some("9.5.0".to_owned()),
        has_keystore: true,
        file: Observed::Known(Metadata {
            kind: FileKind::File,
            mode: 0o660,
            uid: 0,
            gid: 102,
            size: 199,
            links: 1,
            block_device: None,
            changed_at: 0,
        }),
        owner: "root".to_owned(),
        group: "elasticsearch".to_owned(),
        others_may_read: false,
        resolved: None,
        contents: Observed::Known(contents),
    }
}

pub(super) fn password(setting: &str, line: u64) -> Sighting {
    Sighting {
        line: Some(line),
        setting: setting.to_owned(),
        kind: Kind::Password,
        value: Value::Set,
        is_comment: false,
        instead: None,
    }
}

pub(super) fn volume(verdict: Verdict) -> PathPosture {
    proof(Use::Config, "/etc/elasticsearch", verdict)
}
