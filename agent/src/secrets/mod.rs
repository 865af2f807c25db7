//! Secrets that stand where anybody who reads the disk finds them: by name, file and line, never by value.

use serde::{Deserialize, Serialize};

use crate::path::HostPath;
use crate::snapshot::Namespace;

/// A file, directory or environment that settings stand in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub path: HostPath,
    pub form: Form,
    pub namespace: Namespace,
    /// As in [`atrest_proto::model::Service::product`].
    pub product: String,
    pub service: Option<String>,
}

/// How settings are written in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Form {
    /// The product's own settings, such as `elasticsearch.yml`.
    Yaml,
    /// One option of the Java machine a line: `jvm.options`.
    JavaOptions,
    /// `NAME=value` a line, as shells and systemd read them: `/etc/default/elasticsearch`.
    Variables,
    /// A systemd unit or drop-in.
    Unit,
    /// `/proc/PID/environ`.
    Environment,
    /// `/proc/PID/cmdline`.
    Arguments,
    /// A configuration directory, to be looked through for private keys and files that everybody may read.
    Directory,
}
