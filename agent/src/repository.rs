//! Snapshot repositories: where a cluster's backups rest.

use serde::{Deserialize, Serialize};

use crate::path::HostPath;
use crate::snapshot::Namespace;

/// A repository that a node was found to use, or that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Declared {
    pub name: String,
    /// `fs`, `s3`, … as the product names it.
    pub kind: String,
    /// For `fs` the directory; otherwise what tells the repository apart.
    pub location: HostPath,
    pub service: Option<String>,
    /// `declared`, `config` or `api`.
    pub source: String,
    pub namespace: Namespace,
}
