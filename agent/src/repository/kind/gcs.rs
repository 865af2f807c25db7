//! `gcs`: a bucket of Google Cloud Storage.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Backend, Kind, Surroundings, base_path, lacks, show};
use crate::repository::Registered;

pub(super) const KIND: Kind = Kind {
    name: "gcs",
    settings: &["bucket", "base_path", "client"],
    own: &["gcs_credentials_file"],
    backend,
};

/// Where in which bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gcs {
    pub bucket: String,
    /// Without slashes at its ends.
    pub base_path: String,
    /// `gcs.client.NAME.endpoint`; `None` is Google's own.
    pub endpoint: Option<String>,
    /// A file with credentials of the agent's own, from its configuration.
    pub credentials_file: Option<String>,
}

impl fmt::Display for Gcs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, "gs", &self.bucket, &self.base_path)
    }
}

fn backend(registered: &Registered, surroundings: &Surroundings<'_>) -> Backend {
    let Some(bucket) = registered.setting("bucket") else { return lacks("bucket") };
    Backend::Gcs(Gcs {
        bucket: bucket.to_owned(),
        base_path: base_path(registered),
        endpoint: surroundings.client("gcs", registered, "endpoint").map(str::to_owned),
        credentials_file: registered.setting("gcs_credentials_file").map(str::to_owned),
    })
}
