//! What each source says of one setting of a service: they agree unless something is about to change, or is hidden.

use serde::{Deserialize, Serialize};

/// One source's word on one setting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim {
    pub service: String,
    /// Such as `path.data` or `-XX:HeapDumpPath`. Never one whose value may be secret.
    pub setting: String,
    pub source: Source,
    /// Sorted; paths are absolute and normalised.
    pub values: Vec<String>,
}

/// Where a claim comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The settings files as they are now: what the next start takes.
    Files,
    /// The arguments and environment of the running process.
    Process,
    /// The node's own API.
    Api,
}
